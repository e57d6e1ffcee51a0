"""Dead letters: events that could not be used, kept as raw bytes with position and reason, and replayable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from config.clock import Clock, utc_now
from config.errors import UserError
from config.files.sqlite_file import open_file, transaction, translated_errors, vacuum
from consumers.log.protocols import EventSink, Position, RawEvent

FORMAT_VERSION = 1
PREFIX_BYTES = 4096
REPLAY_HEADER = "perennial-dead-letter"
# The hash belongs to the key: when a log is recreated its offsets start again, and another event is another letter.
_SCHEMA = """
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL, topic_partition INTEGER NOT NULL, event_offset INTEGER NOT NULL,
    reason TEXT NOT NULL, field TEXT,
    value BLOB NOT NULL, value_sha256 TEXT NOT NULL, value_bytes INTEGER NOT NULL, replayable INTEGER NOT NULL,
    key BLOB, headers TEXT NOT NULL, dead_at TEXT NOT NULL, replayed_at TEXT,
    UNIQUE (topic, topic_partition, event_offset, value_sha256)
);
CREATE INDEX dead_letters_by_hash ON dead_letters (value_sha256)
"""
_COLUMNS = (
    "id, topic, topic_partition, event_offset, reason, field, value, value_sha256, value_bytes, replayable, key, headers, "
    "dead_at, replayed_at"
)
# Nothing else of a letter ever changes. Files of earlier versions get these too; those versions write on without them.
_ADDED = ("dropped_at TEXT", "mended_sha256 TEXT")
_OPEN = "replayed_at IS NULL AND dropped_at IS NULL"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A raw event that cannot be used, and why.

    Without `keep_bytes` only its hash and first 4 KiB are kept, and it cannot be replayed.
    """

    raw: RawEvent
    reason: str
    field: str | None = None
    keep_bytes: bool = True


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One kept dead letter; `value` is a prefix when it is shorter than `value_bytes`."""

    id: int
    topic: str
    partition: int
    offset: int
    reason: str
    field: str | None
    value: bytes
    value_sha256: str
    value_bytes: int
    replayable: bool
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    dead_at: datetime
    replayed_at: datetime | None
    dropped_at: datetime | None = None
    """When a person decided that nothing comes of it; its bytes stay until its time is over."""
    mended_sha256: str | None = None
    """Of the bytes that were published in place of its own; these stay as they came."""

    @property
    def position(self) -> Position:
        """Where the event stood in the log."""
        return Position(self.topic, self.partition, self.offset)


_HIGHEST = 2**63 - 1
"""No letter has an id above it."""


class DeadLetters:
    """The durable file of dead letters. Thread-safe; several processes may use it.

    Raises `RetryError` when the file is locked or the disk full, `StopError` when it is corrupt or newer.
    """

    def __init__(self, path: Path, clock: Clock = utc_now) -> None:
        self._path = path
        self._clock = clock
        self._lock = Lock()
        self._connection = open_file(path, schema=_SCHEMA, format_version=FORMAT_VERSION)
        self._grow()

    def add(self, raw: RawEvent, reason: str, field: str | None = None) -> None:
        """Keep one event durably; the same event at the same position is kept once."""
        self.add_all([Rejected(raw, reason, field)])

    def add_all(self, rejected: Iterable[Rejected]) -> None:
        """Keep several in one durable transaction; each event at its position is kept once."""
        dead_at = self._clock().isoformat()
        rows = [_row(one, dead_at) for one in rejected]
        if not rows:
            return
        with self._lock, transaction(self._connection, self._path):
            self._connection.executemany(
                f"INSERT INTO dead_letters ({_COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL) "  # noqa: S608 - a constant
                "ON CONFLICT DO NOTHING",
                rows,
            )

    def list(self, limit: int = 100, include_settled: bool = False, *, before: int | None = None) -> Sequence[DeadLetter]:
        """Return the newest `limit` letters, newest first: those that are neither replayed nor dropped, or all.

        Only ids below `before` where that is given.
        """
        condition = "" if include_settled else f"AND {_OPEN} "
        return self._select(f"WHERE id < ? {condition}ORDER BY id DESC LIMIT ?", (_HIGHEST if before is None else before, limit))

    def get(self, letter_id: int) -> DeadLetter:
        """Return one letter. Raises `UserError` when there is none with this id."""
        found = self._select("WHERE id = ?", (letter_id,))
        if not found:
            raise UserError(_no_letter(letter_id))
        return found[0]

    def find(self, value_sha256: str) -> DeadLetter | None:
        """Return the newest letter that holds an event of this SHA-256 (of its whole bytes), None when there is none."""
        return next(iter(self._select("WHERE value_sha256 = ? ORDER BY id DESC LIMIT 1", (value_sha256,))), None)

    def count(self, include_settled: bool = False) -> int:
        """Return how many letters are kept: those that are neither replayed nor dropped, or all."""
        condition = "" if include_settled else f"WHERE {_OPEN}"
        with self._lock, translated_errors(self._path):
            return int(self._connection.execute(f"SELECT count(*) FROM dead_letters {condition}").fetchone()[0])  # noqa: S608 - a constant

    def nth_newest_at(self, number: int) -> datetime | None:
        """Return when the `number`th newest letter (from 1), replayed ones too, was kept; None while there are fewer."""
        with self._lock, translated_errors(self._path):
            row = self._connection.execute(
                "SELECT dead_at FROM dead_letters ORDER BY id DESC LIMIT 1 OFFSET ?", (number - 1,)
            ).fetchone()
        return None if row is None else datetime.fromisoformat(row[0])

    def wholly_kept(self, ids: Sequence[int]) -> Sequence[DeadLetter]:
        """Return these letters, each once. Raises `UserError` for one that is unknown or of which only the beginning is kept."""
        letters = [self.get(letter_id) for letter_id in dict.fromkeys(ids)]
        for letter in letters:
            if not letter.replayable:
                message = (
                    f"dead letter {letter.id} cannot be replayed: only {len(letter.value)} of its {letter.value_bytes} bytes are "
                    "kept. Nothing was replayed. Correct the event and send it again from its source, or leave this id out."
                )
                raise UserError(message)
        return letters

    def replay(self, ids: Sequence[int], sink: EventSink) -> int:
        """Publish letters to their topics again, durably, and mark them; return how many. A dropped one is dropped no more.

        Nothing is published when one of them is unknown or cannot be replayed (`UserError`). A crash between the two
        steps replays again, which ingest deduplicates by event id.
        """
        letters = self.wholly_kept(ids)
        for letter in letters:
            _send(sink, letter, letter.value)
        sink.flush()
        self._mark("replayed_at = ?, dropped_at = NULL", [(self._now(), letter.id) for letter in letters])
        return len(letters)

    def mend(self, letter_id: int, value: bytes, sink: EventSink) -> None:
        """Publish `value` in the place of a letter's bytes, durably, and mark the letter; its own bytes stay as they came.

        Raises `UserError` as `replay` does; a crash between the two steps leaves it unmarked.
        """
        (letter,) = self.wholly_kept([letter_id])
        _send(sink, letter, value)
        sink.flush()
        digest = hashlib.sha256(value).hexdigest()
        self._mark("replayed_at = ?, mended_sha256 = ?, dropped_at = NULL", [(self._now(), digest, letter.id)])

    def drop(self, ids: Sequence[int]) -> int:
        """Mark letters as dropped: nobody waits for them any more; return how many. Their bytes stay until their time is over.

        Nothing is marked when one of them is unknown (`UserError`).
        """
        wanted = self._known(ids)
        self._mark("dropped_at = ?", [(self._now(), letter_id) for letter_id in wanted])
        return len(wanted)

    def replayable(self) -> Sequence[int]:
        """Return the ids of the letters that can be replayed and were neither that nor dropped, oldest first."""
        return self._ids(f"WHERE {_OPEN} AND replayable = 1")

    def died_before(self, moment: datetime) -> Sequence[int]:
        """Return the ids of the letters, settled ones too, that were kept before `moment` (with a zone), oldest first."""
        return self._ids("WHERE dead_at < ?", (moment.astimezone(UTC).isoformat(),))

    def remove(self, ids: Sequence[int]) -> int:
        """Remove letters for good, bytes and all; return how many. None is when one of them is unknown (`UserError`)."""
        wanted = [(letter_id,) for letter_id in self._known(ids)]
        with self._lock, transaction(self._connection, self._path):
            self._connection.executemany("DELETE FROM dead_letters WHERE id = ?", wanted)
        return len(wanted)

    def erase(self, matches: Callable[[bytes], bool], positions: Collection[Position] = ()) -> Sequence[Position]:
        """Remove the letters, replayed ones too, whose bytes `matches` accepts; return the positions of their events.

        Of a letter that is only a prefix the whole event may have matched in the log: `positions` says which did.
        """
        gone: dict[int, Position] = {}
        for letter_id in self._ids():
            for letter in self._select("WHERE id = ?", (letter_id,)):
                is_prefix = len(letter.value) < letter.value_bytes
                if matches(letter.value) or (is_prefix and letter.position in positions):
                    gone[letter.id] = letter.position
        with self._lock, transaction(self._connection, self._path):
            self._connection.executemany("DELETE FROM dead_letters WHERE id = ?", [(letter_id,) for letter_id in gone])
        return list(gone.values())

    def compact(self) -> None:
        """Rewrite the file, so that nothing of erased letters stays in it. Raises `RetryError`."""
        with self._lock:
            vacuum(self._connection, self._path)

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._connection.close()

    def _grow(self) -> None:
        with translated_errors(self._path):
            present = {row[1] for row in self._connection.execute("PRAGMA table_info(dead_letters)")}
        if all(column.split()[0] in present for column in _ADDED):
            return
        with transaction(self._connection, self._path):
            # Another process may have been first while this one waited for the lock.
            present = {row[1] for row in self._connection.execute("PRAGMA table_info(dead_letters)")}
            for column in _ADDED:
                if column.split()[0] not in present:
                    self._connection.execute(f"ALTER TABLE dead_letters ADD COLUMN {column}")
            # Counting must not read through the letters' bytes.
            self._connection.execute("DROP INDEX IF EXISTS not_replayed")
            self._connection.execute(f"CREATE INDEX IF NOT EXISTS not_settled ON dead_letters (replayed_at) WHERE {_OPEN}")

    def _now(self) -> str:
        return self._clock().isoformat()

    def _known(self, ids: Sequence[int]) -> Sequence[int]:
        wanted = list(dict.fromkeys(ids))
        unknown = sorted(set(wanted).difference(self._ids()))
        if unknown:
            raise UserError(_no_letter(unknown[0]))
        return wanted

    def _mark(self, change: str, values: Sequence[tuple[str | int, ...]]) -> None:
        """Change letters: `values` of the change, then the id, of each."""
        with self._lock, transaction(self._connection, self._path):
            self._connection.executemany(f"UPDATE dead_letters SET {change} WHERE id = ?", values)  # noqa: S608 - constants only

    def _ids(self, condition: str = "", values: tuple[str, ...] = ()) -> Sequence[int]:
        with self._lock, translated_errors(self._path):
            rows = self._connection.execute(f"SELECT id FROM dead_letters {condition} ORDER BY id", values).fetchall()  # noqa: S608 - constants only
        return [int(row[0]) for row in rows]

    def _select(self, rest: str, values: tuple[int | str, ...]) -> Sequence[DeadLetter]:
        with self._lock, translated_errors(self._path):
            told = f"SELECT {_COLUMNS}, dropped_at, mended_sha256 FROM dead_letters {rest}"  # noqa: S608 - constants only
            rows = self._connection.execute(told, values).fetchall()
        return [_letter(row) for row in rows]


def _no_letter(letter_id: int) -> str:
    return f"there is no dead letter {letter_id}. `perennial dlq list` shows the ids."


def _row(rejected: Rejected, dead_at: str) -> tuple[object, ...]:
    raw = rejected.raw
    value = raw.value or b""
    kept = value if rejected.keep_bytes else value[:PREFIX_BYTES]
    headers = json.dumps([[name, content.hex()] for name, content in raw.headers])
    # A tombstone has no bytes to send again.
    replayable = raw.value is not None and rejected.keep_bytes
    digest = hashlib.sha256(value).hexdigest()
    return (*raw.position, rejected.reason, rejected.field, kept, digest, len(value), replayable, raw.key, headers, dead_at)


def _letter(row: tuple[Any, ...]) -> DeadLetter:
    number, topic, partition, offset, reason, field, value, digest, size, replayable, key, headers, *became = row
    dead_at, replayed_at, dropped_at, mended_sha256 = became
    return DeadLetter(
        number, topic, partition, offset, reason, field, value, digest, size, bool(replayable), key,
        tuple((name, bytes.fromhex(content)) for name, content in json.loads(headers)),
        datetime.fromisoformat(dead_at), _moment(replayed_at), _moment(dropped_at), mended_sha256,
    )  # fmt: skip


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _send(sink: EventSink, letter: DeadLetter, value: bytes) -> None:
    marked = (*letter.headers, (REPLAY_HEADER, str(letter.id).encode()))
    sink.publish(letter.topic, value, key=letter.key, headers=marked)
