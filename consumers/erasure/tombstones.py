"""What was erased, as keyed hashes: enough to refuse it when it comes again, too little to tell what it was.

The key is a secret file beside the data. Whoever has both it and the hashes can test a guessed id, and nothing more.
"""

from __future__ import annotations

import hmac
import json
import os
import re
import secrets
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from config.errors import DeadLetterError, StopError
from config.files.durable import sync_folder
from consumers.events import wire
from consumers.events.cloud_events import batch_in
from consumers.events.schemas import AnyEvent, content_sha256

Kind = Literal["user", "article", "prediction", "text"]
"""`text` is the SHA-256 of an erased article's text: for what holds that text and names no article."""

KEY_FILE = "erasure.key"
_KEY_BYTES = 32
_KIND_OF_FIELD: Mapping[str, Kind] = {
    "user_id": "user", "article_id": "article", "document_id": "article", "prediction_id": "prediction",
}  # fmt: skip
# A field and its value as JSON writes them, wherever they stand: what cannot be read as an event still names its user.
_FIELD = re.compile(rb'"(user_id|article_id|document_id|prediction_id|event_id)"\s*:\s*("(?:[^"\\]|\\.){1,4000}")')

# By these an event may name somebody without the letters of it: escaped keys, and CloudEvents with data in base64.
_OTHERWISE = (b"\\u", b"data_base64", b"specversion")


@dataclass(frozen=True, slots=True)
class Tombstones:
    """The hashes at one moment. Immutable, so that any thread may ask."""

    key: bytes
    digests: Mapping[str, frozenset[str]]
    """By kind."""

    def __bool__(self) -> bool:
        return any(self.digests.values())

    def has(self, kind: Kind, name: object) -> bool:
        """Return whether what is called `name` was erased."""
        among = self.digests.get(kind, frozenset())
        return bool(among) and isinstance(name, str) and digest(self.key, kind, name) in among

    def covers(self, event: AnyEvent) -> bool:
        """Return whether an event belongs to what was erased, so that it must not be stored; of requests, a review alone."""
        if event.type in ("retrain", "task_schema", "import_undo", "erase"):
            return False
        # Of an article's unknown fields none counts, whatever it is called.
        named = {name: getattr(event, name) for name in type(event).model_fields}
        article_id = named.get("article_id")
        return (
            self.has("article", article_id)
            or self.has("article", named.get("document_id"))
            or self.has("user", named.get("user_id"))
            or self.has("prediction", named.get("prediction_id"))
            or (article_id is None and self.has_text(named.get("text")))
        )

    def covers_bytes(self, value: bytes) -> bool:
        """Return whether an event's bytes, which need not be a valid event, name something that was erased."""
        if not self:
            return False
        named = names_in(value)
        if any(self.has(kind, name) for field, kind in _KIND_OF_FIELD.items() for name in named[field]):
            return True
        return bool(self.digests.get("text")) and not named["article_id"] and self.has_text(_decoded(value).get("text"))

    def has_text(self, text: object) -> bool:
        """Return whether this very text was an erased article's."""
        return bool(self.digests.get("text")) and isinstance(text, str) and self.has("text", content_sha256(text))


def digest(key: bytes, kind: str, name: str) -> str:
    """Return the HMAC-SHA-256 of an id, in the form ids are compared in, in lower-case hex."""
    return hmac.digest(key, f"{kind}\n{unicodedata.normalize('NFC', name)}".encode("utf-8", "surrogatepass"), "sha256").hex()


def names_in(value: bytes) -> Mapping[str, set[str]]:
    """Return the ids that an event's bytes name, by field: user_id, article_id, document_id, prediction_id and event_id."""
    found: dict[str, set[str]] = defaultdict(set)
    for field, literal in _FIELD.findall(value):
        try:
            found[field.decode()].add(json.loads(literal))
        except ValueError:
            continue  # not a JSON string after all, so no id that an event could have
    if any(sign in value for sign in _OTHERWISE):
        for event in _singles(value):
            named = _decoded(event)
            for name in (*_KIND_OF_FIELD, "event_id"):
                if isinstance(said := named.get(name), str):
                    found[name].add(said)
    return found


def _singles(value: bytes) -> list[bytes]:
    try:
        return batch_in(value) or [value]
    except DeadLetterError:
        return [value]


def is_erase_request(value: bytes) -> bool:
    """Return whether these bytes ask for an erasure."""
    return _decoded(value).get("type") == "erase"


def read_key(data_dir: Path) -> bytes | None:
    """Return the key, None when there is none yet. Raises `StopError` when the file is no key."""
    path = data_dir / KEY_FILE
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(key) != _KEY_BYTES:
        message = f"{path} holds {len(key)} bytes instead of a key of {_KEY_BYTES}; nothing was changed. Restore it from a backup"
        raise StopError(message)
    return key


def make_key(data_dir: Path) -> bytes:
    """Return the key, drawn at the first call and kept durably in a file that only its owner can read.

    One process at a time: the caller holds the write lock of the list of erasures.
    """
    known = read_key(data_dir)
    if known is not None:
        return known
    key = secrets.token_bytes(_KEY_BYTES)
    temporary = data_dir / f".{KEY_FILE}.tmp"
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(data_dir / KEY_FILE)
    sync_folder(data_dir)
    return key


def _decoded(value: bytes) -> Mapping[str, object]:
    try:
        # What earlier versions took and what was refused names people too.
        return wire.decode(value, doubled_names=True)
    except DeadLetterError:
        return {}
