"""CloudEvents 1.0 in their three modes: structured (an envelope), binary (attributes in headers) and batch (a list of envelopes).

The event is the `data`; attributes fill what it leaves out. A CloudEvent is the same as another when `source` and `id` are, so
both together become the `event_id` of one that has none. Without `time` it happened when it arrived.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from config.errors import DeadLetterError
from config.foreign.ids import MAX_ID_BYTES

Headers = Sequence[tuple[str, bytes]]

STRUCTURED_TYPE = "application/cloudevents+json"
BATCH_TYPE = "application/cloudevents-batch+json"
HEADER_PREFIX = "ce_"
"""Begins the names of attributes among the headers of a log's event; over HTTP it is `ce-`."""
_HTTP_PREFIX = "ce-"
_ATTRIBUTES = ("specversion", "id", "source", "type")
_VERSION_PART = re.compile(r"v?\d+")
_SHOWN_CHARS = 80
_DECODER = json.JSONDecoder()
_OPENING = re.compile(r"[ \t\r\n]*\[[ \t\r\n]*(\][ \t\r\n]*\Z)?")
_BETWEEN = re.compile(r"[ \t\r\n]*(?:,[ \t\r\n]*|(\])[ \t\r\n]*\Z)")
"""What stands before the first entry of a list, and behind each; its group is the end of the list."""
MOST_EVENTS = 10_000
"""Of one batch: each that cannot be used becomes a dead letter of its own."""


def attributes_in(headers: Headers) -> dict[str, Any] | None:
    """Return the attributes of a CloudEvent in binary mode, None when the headers make none. Raises `DeadLetterError`.

    In the other modes, which the content type tells, attributes may stand in headers too; those of the envelope count.
    """
    found = {name.lower(): value for name, value in headers}
    if f"{HEADER_PREFIX}specversion" not in found:
        return None
    kind = media_type(found.get("content-type", b""))
    if kind in {STRUCTURED_TYPE, BATCH_TYPE}:
        return None
    if kind and not is_json(kind):
        reason = f"content-type: {kind[:_SHOWN_CHARS]!r} is not read here; send the event as application/json"
        raise DeadLetterError(reason, field="content-type")
    attributes: dict[str, Any] = {}
    for name, value in found.items():
        if name.startswith(HEADER_PREFIX):
            try:
                attributes[name.removeprefix(HEADER_PREFIX)] = value.decode("utf-8")
            except UnicodeDecodeError:
                field = name[:_SHOWN_CHARS]
                reason = f"{field}: the header is not UTF-8; send it in UTF-8"
                raise DeadLetterError(reason, field=field) from None
    return attributes


def unwrapped(
    envelope: Mapping[str, Any], data: object, *, types: Collection[str] = (), arrived: str | None = None
) -> dict[str, Any]:
    """Return the event: `data`, and from the envelope's attributes what it leaves out. Raises `DeadLetterError`.

    `types` are the types of events; `arrived` is when it arrived, in ISO 8601.
    """
    _check(envelope)
    if not isinstance(data, dict):
        reason = "data: a CloudEvent must carry the event as a JSON object in `data` (or in `data_base64`, as JSON)"
        raise DeadLetterError(reason, field="data")
    filled = {"source": envelope["source"], "event_id": _event_id(envelope["source"], envelope["id"])}
    if (moment := envelope.get("time") or arrived) is not None:
        filled["occurred_at"] = moment
    # Writers with a fixed set of fields write null for what they leave out.
    told = {**filled, **{name: value for name, value in data.items() if value is not None or name not in filled}}
    # The type may stand behind a reverse domain name, and before a version. What the data call `type` may mean something else.
    parts = [part for part in re.split(r"[./:]", envelope["type"]) if not _VERSION_PART.fullmatch(part)]
    named = data.get("type")
    if named is None or (not (isinstance(named, str) and named in types) and parts and parts[-1] in types):
        told["type"] = parts[-1] if parts else envelope["type"]
    return told


def data_of(envelope: Mapping[str, Any], loads: Callable[[bytes], object] = json.loads) -> object:
    """Return the data of an envelope, as an object where it stands in base64 (`loads` reads it). Raises `DeadLetterError`."""
    if "data" in envelope or "data_base64" not in envelope:
        return envelope.get("data")
    try:
        return loads(base64.b64decode(str(envelope["data_base64"]), validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        reason = f"data_base64: it holds no JSON in base64 ({error}); send the event as a JSON object in `data`"
        raise DeadLetterError(reason, field="data_base64") from None


def batch_in(value: bytes, headers: Headers = ()) -> list[bytes] | None:
    """Return the events of a batch, each in structured mode as it was sent; None when the bytes are no batch.

    Undeclared, a list is one when any of its entries is a CloudEvent: the others are refused each by itself.

    Raises `DeadLetterError` for one of too many events.
    """
    declared = any(name.lower() == "content-type" and media_type(content) == BATCH_TYPE for name, content in headers)
    if value.lstrip()[:1] != b"[":
        return None
    try:
        entries = _entries(value.decode(json.detect_encoding(value), "surrogatepass"))
    except (ValueError, RecursionError):
        return None
    if not declared and not any(is_cloud_event for _entry, is_cloud_event in entries):
        return None
    if len(entries) > MOST_EVENTS:
        reason = f"the batch has {len(entries):,} events; send at most {MOST_EVENTS:,} in one"
        raise DeadLetterError(reason)
    # A lone surrogate has no other form than the escaped one.
    return [entry.encode("utf-8", "backslashreplace") for entry, _is_cloud_event in entries]


def _entries(text: str) -> list[tuple[str, bool]]:
    """Return the entries of a list as they stand in its JSON, and of each whether it is a CloudEvent. Raises ValueError."""
    found: list[tuple[str, bool]] = []
    between = _OPENING.match(text)
    while between is not None and not between[1]:
        entry, end = _DECODER.raw_decode(text, between.end())
        found.append((text[between.end() : end], isinstance(entry, dict) and "specversion" in entry))
        between = _BETWEEN.match(text, end)
    if between is None:
        message = "it is no list in JSON"
        raise ValueError(message)
    return found


def headers_of(event: Mapping[str, Any], *, source: str, subject: str | None = None) -> list[tuple[str, bytes]]:
    """Return the headers that make an event of ours, written as plain JSON, a CloudEvent in binary mode."""
    attributes = {
        "specversion": "1.0", "id": event["event_id"], "source": source, "type": event["type"], "time": event["occurred_at"],
        "subject": subject,
    }  # fmt: skip
    named = [(f"{HEADER_PREFIX}{name}", str(value).encode()) for name, value in attributes.items() if value is not None]
    return [*named, ("content-type", b"application/json")]


def media_type(content_type: bytes | str) -> str:
    """Return the media type of a `Content-Type`, in lower case and without parameters."""
    text = content_type.decode("latin-1") if isinstance(content_type, bytes) else content_type
    return text.partition(";")[0].strip().lower()


def is_json(kind: str) -> bool:
    """Return whether a media type is JSON."""
    return kind in ("application/json", "text/json") or (kind.startswith("application/") and kind.endswith("+json"))


def _check(envelope: Mapping[str, Any]) -> None:
    version = envelope.get("specversion")
    if version != "1.0":
        reason = f"specversion: CloudEvents {str(version)[:_SHOWN_CHARS]!r} is not read here; send 1.0"
        raise DeadLetterError(reason, field="specversion")
    for name in _ATTRIBUTES:
        if not isinstance(envelope.get(name), str) or not envelope[name]:
            reason = f"{name}: a CloudEvent must carry it as a string that is not empty; add it"
            raise DeadLetterError(reason, field=name)


def _event_id(source: str, name: str) -> str:
    # No URI holds the bar, so that no other pair gives the same.
    together = f"{source}|{name}"
    if len(together.encode("utf-8", "surrogatepass")) <= MAX_ID_BYTES:
        return together
    return f"ce-{hashlib.sha256(together.encode('utf-8', 'surrogatepass')).hexdigest()}"


def from_http(headers: Iterable[tuple[str, str]]) -> Headers:
    """Return the headers of an HTTP request that matter here, as a log's event carries them."""
    found: list[tuple[str, bytes]] = []
    for name, value in ((name.lower(), value) for name, value in headers):
        if name.startswith(_HTTP_PREFIX):
            # What is not plain ASCII is percent-encoded over HTTP.
            found.append((HEADER_PREFIX + name.removeprefix(_HTTP_PREFIX), unquote_to_bytes(value)))
        elif name == "content-type":
            found.append((name, value.encode()))
    return found
