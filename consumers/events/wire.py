"""From an event's bytes to one JSON object: UTF-8, JSON, CloudEvents, and values that no table can hold."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from config.errors import DeadLetterError
from consumers.events import doubled
from consumers.events.cloud_events import Headers, attributes_in, data_of, unwrapped

MAX_DEPTH = 32


def decode(
    value: bytes,
    *,
    noun: str = "event",
    headers: Headers = (),
    types: Collection[str] = (),
    arrived: str | None = None,
    doubled_names: bool = False,
) -> dict[str, Any]:
    """Return the event's object, taken out of its CloudEvent where it is one. Raises `DeadLetterError`.

    `noun` is what the messages call the whole: an event, or the body of a request. `headers` came with it; they, `types` and
    `arrived` (in ISO 8601) matter to a CloudEvent only. With `doubled_names` the last value of a name that stands twice is taken.
    """
    attributes = attributes_in(headers)
    loads = json.loads if doubled_names else doubled.loads
    payload = _object(value, noun, loads)
    if attributes is not None:
        return unwrapped(attributes, payload, types=types, arrived=arrived)
    if "specversion" not in payload:
        return payload
    data = data_of(payload, loads)
    if "data" not in payload and isinstance(data, dict):
        _refuse_unstorable(data)
    return unwrapped(payload, data, types=types, arrived=arrived)


def _object(value: bytes, noun: str, loads: Callable[..., Any]) -> dict[str, Any]:
    try:
        payload = loads(value.decode("utf-8"), parse_constant=_refuse_constant)
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
    return payload


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
            refuse_surrogates(names, names[-1])
        if isinstance(value, str):
            refuse_surrogates(names, value)
        elif isinstance(value, float) and not math.isfinite(value):
            field = _shown(names)
            reason = f"{field}: the number is too large for a 64-bit float; send a finite number"
            raise DeadLetterError(reason, field=field)
        elif isinstance(value, dict | list):
            levels.append(_parts(value))
            names.append("")


def _parts(value: dict[str, Any] | list[Any]) -> Iterator[tuple[str | int, object]]:
    return iter(value.items()) if isinstance(value, dict) else enumerate(value)


def refuse_surrogates(names: Sequence[str | int], text: str) -> None:
    """Raise `DeadLetterError` where UTF-8 cannot write a text; `names` are the path to it."""
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
