"""The file of the embedded log: its tables, and the conversion between events and rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from config.files.sqlite_file import open_file

PARTITION = 0
CHUNK_EVENTS = 500
CHUNK_BYTES = 16 << 20
"""What one read beside the daemon takes into memory."""
FORMAT_VERSION = 1
# The large column stands last: SQLite then finds the others without reading it.
_SCHEMA = """
CREATE TABLE topics (topic TEXT PRIMARY KEY, next_offset INTEGER NOT NULL);
CREATE TABLE events (
    topic TEXT NOT NULL, event_offset INTEGER NOT NULL, logged_at_us INTEGER NOT NULL,
    key BLOB, headers TEXT, value BLOB, PRIMARY KEY (topic, event_offset)
);
CREATE TABLE positions (
    consumer_group TEXT NOT NULL, topic TEXT NOT NULL, next_offset INTEGER NOT NULL, PRIMARY KEY (consumer_group, topic)
)
"""


class Pending(NamedTuple):
    """An event that has no offset yet."""

    topic: str
    value: bytes | None
    key: bytes | None
    headers: str | None


def open_log(path: Path) -> sqlite3.Connection:
    """Open the file, made when it is new. Raises as `open_file` does."""
    return open_file(path, schema=_SCHEMA, format_version=FORMAT_VERSION)


def append_events(connection: sqlite3.Connection, batch: Sequence[Pending], logged_at_us: int) -> None:
    """Give each event the next offset of its topic; the caller's transaction holds the write lock."""
    following = {topic: bounds_of(connection, topic)[1] for topic in {pending.topic for pending in batch}}
    rows = []
    for topic, value, key, headers in batch:
        rows.append((topic, following[topic], logged_at_us, key, headers, value))
        following[topic] += 1
    connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.executemany("INSERT OR REPLACE INTO topics VALUES (?, ?)", list(following.items()))


def bounds_of(connection: sqlite3.Connection, topic: str) -> tuple[int, int]:
    """Return the first offset of `topic` still kept and the next one to be given."""
    row = connection.execute("SELECT next_offset FROM topics WHERE topic = ?", (topic,)).fetchone()
    following = int(row[0]) if row else 0
    first = connection.execute("SELECT min(event_offset) FROM events WHERE topic = ?", (topic,)).fetchone()[0]
    return (following if first is None else int(first)), following


def topics_of(connection: sqlite3.Connection) -> list[str]:
    """Return the topics that ever had an event, by name."""
    return [row[0] for row in connection.execute("SELECT topic FROM topics ORDER BY topic").fetchall()]


def portion(
    connection: sqlite3.Connection, query: str, parameters: Sequence[object], *, value_at: int, max_bytes: int
) -> list[tuple[Any, ...]]:
    """Return rows until their values, in column `value_at`, add up to `max_bytes`; at least one, where there is any."""
    rows: list[tuple[Any, ...]] = []
    bytes_left = max_bytes
    # An unfinished cursor would keep its read lock and hold up every producer.
    with closing(connection.execute(query, parameters)) as cursor:
        for row in cursor:
            rows.append(row)
            bytes_left -= len(row[value_at] or b"")
            if bytes_left <= 0:
                break
    return rows


def size_of(pending: Pending) -> int:
    """Return about how many bytes of memory it takes."""
    return len(pending.value or b"") + len(pending.key or b"") + len(pending.headers or "") + 100


def encode_headers(headers: Sequence[tuple[str, bytes]]) -> str | None:
    """Return the headers as they are stored, None for none."""
    return json.dumps([[name, value.hex()] for name, value in headers]) if headers else None


def decode_headers(stored: str | None) -> tuple[tuple[str, bytes], ...]:
    """Return what `encode_headers` stored."""
    return tuple((name, bytes.fromhex(value)) for name, value in json.loads(stored)) if stored else ()


def to_microseconds(moment: datetime) -> int:
    """Return an aware time as it is stored: microseconds since 1970, UTC."""
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)


def from_microseconds(microseconds: int) -> datetime:
    """Return the time that `to_microseconds` stored."""
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)
