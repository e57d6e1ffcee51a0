"""From an event's bytes to one JSON object: UTF-8, JSON, the CloudEvents envelope, and values that no table can hold."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from config.errors import DeadLetterError

MAX_DEPTH = 32


def decode(value: bytes, *, noun: str = "event") -> dict[str, Any]:
    """Return the event's object, taken out of its CloudEvents 1.0 envelope where it has one. Raises `DeadLetterError`.

    `noun` is what the messages call the whole: an event, or the body of a request.
    """
    try:
        payload = json.loads(value.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        reason = f"the {noun} is not UTF-8 (byte {error.start}: {error.reason}); send JSON encoded as UTF-8"
        raise DeadLetterError(reason) from None
    except (RecursionError, ValueError) as error:
        reason = f"the {noun} is not JSON ({error}); send one JSON object"
        raise DeadLetterError(reason) from None
    if not isinstance(payload, dict):
        reason = f"the {noun} is a JSON {type(payload).__name__}; send one JSON object"
        raise DeadLetterError(reason)
    _refuse_unstorable(payload)
    return _unwrap_cloud_event(payload) if "specversion" in payload else payload


def _refuse_constant(name: str) -> object:
    message = f"{name} is not JSON"
    raise ValueError(message)


def _refuse_unstorable(payload: dict[str, Any]) -> None:
    """Refuse what JSON can write and Arrow, SQLite or JSON itself cannot keep."""
    # A stack instead of recursion: the depth of a stranger's JSON must not become the depth of our calls. It holds one iterator
    # and one name per level; paths are put together only to refuse, for a long name before each of many entries fills memory.
    levels = [_parts(payload)]
    names: list[str | int] = [""]
    while levels:
        try:
            names[-1], value = next(levels[-1])
        except StopIteration:
            levels.pop()
            names.pop()
            continue
        if len(levels) > MAX_DEPTH:
            field = _shown(names)
            reason = f"{field}: nested more than {MAX_DEPTH} levels deep; send a flatter object"
            raise DeadLetterError(reason, field=field)
        if isinstance(names[-1], str):
            _refuse_surrogates(names, names[-1])
        if isinstance(value, str):
            _refuse_surrogates(names, value)
        elif isinstance(value, float) and not math.isfinite(value):
            field = _shown(names)
            reason = f"{field}: the number is too large for a 64-bit float; send a finite number"
            raise DeadLetterError(reason, field=field)
        elif isinstance(value, dict | list):
            levels.append(_parts(value))
            names.append("")


def _parts(value: dict[str, Any] | list[Any]) -> Iterator[tuple[str | int, object]]:
    return iter(value.items()) if isinstance(value, dict) else enumerate(value)


def _refuse_surrogates(names: Sequence[str | int], text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        field = _shown(names)
        reason = (
            f"{field}: character {error.start} is half of a surrogate pair (\\u{ord(text[error.start]):04x}), which is "
            "no Unicode text; send the whole pair, or U+FFFD in its place"
        )
        raise DeadLetterError(reason, field=field) from None


def _shown(names: Sequence[str | int]) -> str:
    """Return the path to a part, such as `target.spans.0`, as Unicode text of a bounded length."""
    longest = 200
    field = ".".join(str(name).encode("utf-8", "backslashreplace").decode() for name in names)
    return field if len(field) <= longest else f"{field[:longest]}…"


def _unwrap_cloud_event(envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event in `data`; the envelope's attributes fill what the data leaves out.

    CloudEvents makes `id` unique per `source` only: producers whose ids may meet put an `event_id` into the data.
    """
    if envelope["specversion"] != "1.0":
        reason = f"specversion: CloudEvents {str(envelope['specversion'])[:80]!r} is not read here; send 1.0"
        raise DeadLetterError(reason, field="specversion")
    for name in ("id", "source", "type"):
        if not isinstance(envelope.get(name), str) or not envelope[name]:
            reason = f"{name}: a CloudEvent must carry it as a string that is not empty; add it"
            raise DeadLetterError(reason, field=name)
    data = envelope.get("data")
    if not isinstance(data, dict):
        reason = "data: a CloudEvent must carry the event as a JSON object in `data` (data_base64 is not read)"
        raise DeadLetterError(reason, field="data")
    # The type may carry a reverse-DNS prefix.
    filled = {"event_id": envelope["id"], "source": envelope["source"], "type": envelope["type"].rsplit(".", 1)[-1]}
    if "time" in envelope:
        filled["occurred_at"] = envelope["time"]
    return {**filled, **data}
