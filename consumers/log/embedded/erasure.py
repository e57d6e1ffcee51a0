"""Erasing in the file of the embedded log: finding events by their bytes, and emptying them in place.

On connections of their own, so that nobody waits for a search.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from config.files.sqlite_file import transaction, translated_errors, vacuum
from consumers.log.embedded.file import CHUNK_BYTES, CHUNK_EVENTS, PARTITION, encode_headers, open_log, portion, topics_of
from consumers.log.protocols import ERASED_HEADER, Position


def find(path: Path, matches: Callable[[bytes], bool]) -> list[Position]:
    """Return the positions of the events whose value `matches` accepts."""
    with closing(open_log(path)) as connection:
        with translated_errors(path):
            topics = topics_of(connection)
        return [one for topic in topics for one in _find(connection, path, topic, matches)]


def empty(path: Path, positions: Sequence[Position]) -> None:
    """Replace events by ones without value and key, whose one header says that they were erased; offsets stay as they are."""
    header = encode_headers([(ERASED_HEADER, b"1")])
    with closing(open_log(path)) as connection:
        for start in range(0, len(positions), CHUNK_EVENTS):
            # Small transactions, so that producers wait for milliseconds only.
            with transaction(connection, path):
                connection.executemany(
                    "UPDATE events SET value = NULL, key = NULL, headers = ? WHERE topic = ? AND event_offset = ?",
                    [(header, one.topic, one.offset) for one in positions[start : start + CHUNK_EVENTS]],
                )


def compact(path: Path) -> None:
    """Rewrite the file."""
    with closing(open_log(path)) as connection:
        vacuum(connection, path)


def _find(connection: sqlite3.Connection, path: Path, topic: str, matches: Callable[[bytes], bool]) -> Iterator[Position]:
    following = 0
    while chunk := _chunk(connection, path, topic, following):
        yield from (Position(topic, PARTITION, offset) for offset, value in chunk if value is not None and matches(value))
        following = chunk[-1][0] + 1


def _chunk(connection: sqlite3.Connection, path: Path, topic: str, start: int) -> list[tuple[Any, ...]]:
    query = "SELECT event_offset, value FROM events WHERE topic = ? AND event_offset >= ? ORDER BY event_offset LIMIT ?"
    with translated_errors(path):
        return portion(connection, query, (topic, start, CHUNK_EVENTS), value_at=1, max_bytes=CHUNK_BYTES)
