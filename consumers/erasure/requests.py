"""The list of erasures: who asked to forget what, as keyed hashes, how far each has come, and what is left to do.

A durable SQLite file beside the buffer. Every step of an erasure is recorded here before the next begins, so that a process
killed anywhere continues where it stopped.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from config.clock import Clock, utc_now
from config.errors import StopError
from config.files.sqlite_file import open_file, transaction, translated_errors, vacuum
from consumers.erasure import tombstones as hashes
from consumers.erasure.tombstones import Kind, Tombstones
from consumers.events.schemas import Erase
from consumers.log.protocols import Position

FILE_NAME = "erasures.db"
FORMAT_VERSION = 1
_CHECKED = "key"
_SCHEMA = """
CREATE TABLE key_check (digest TEXT NOT NULL);
CREATE TABLE erasures (
    number INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT NOT NULL, event_digest TEXT UNIQUE, requested_at TEXT NOT NULL,
    removed_at TEXT, rewritten_at TEXT, clean_versions TEXT, purged_at TEXT, retrain_at TEXT, done_at TEXT, note TEXT NOT NULL
);
CREATE TABLE tombstones (kind TEXT NOT NULL, digest TEXT NOT NULL, cause TEXT NOT NULL, PRIMARY KEY (kind, digest));
CREATE TABLE work (kind TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (kind, name));
CREATE TABLE positions (
    topic TEXT NOT NULL, topic_partition INTEGER NOT NULL, event_offset INTEGER NOT NULL,
    PRIMARY KEY (topic, topic_partition, event_offset)
)
"""

Step = Literal["removed_at", "purged_at", "retrain_at", "done_at"]
STEPS: Mapping[Step, str] = {
    "removed_at": "removed from tables", "purged_at": "purged from disk", "retrain_at": "retrain queued", "done_at": "done",
}  # fmt: skip
"""The steps of an erasure, in order and in words."""
Work = Literal["example", "event", "told", "fragment", "task"]
"""Ids of examples that were erased; of events whose acknowledgement must go; of outgoing events that may quote erased texts;
`table:fragment` that still holds erased rows; tasks whose run was ended."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """One request and how far it has come."""

    number: int
    what: str
    """`user`, `article`, `user and article`, or `rows that came back` (from a backup, say)."""
    requested_at: datetime
    removed_at: datetime | None
    """When it was gone from every table, file and log that is read."""
    rewritten_at: datetime | None
    """When no newest version of a table held a byte of it; readers may still use older ones."""
    purged_at: datetime | None
    """When no byte of it was left on disk, models apart."""
    retrain_at: datetime | None
    """When retraining was asked for, or was found not to be needed."""
    done_at: datetime | None
    """When no model was left that had learnt from it."""
    note: str
    """What it waits for, in words."""

    @property
    def state(self) -> str:
        """The last step that was reached, in words."""
        reached = [words for step, words in STEPS.items() if getattr(self, step) is not None]
        return reached[-1] if reached else "requested"

    def is_late(self, now: datetime, limit: timedelta) -> bool:
        """Return whether it is not done though it was asked for longer ago than `limit`."""
        return self.done_at is None and now > self.requested_at + limit


@dataclass(frozen=True, slots=True)
class Derived:
    """What belongs to something erased: a prediction that its user cited, the text of an article."""

    kind: Kind
    name: str
    cause: str
    """The hash of the user or the article it belongs to."""


class Erasures:
    """The file. Thread-safe; several processes may use it.

    Raises `RetryError` when the file is locked or the disk full; `StopError` when it is corrupt or newer, or when its key is
    missing or another's.
    """

    def __init__(self, data_dir: Path, clock: Clock = utc_now) -> None:
        self._data_dir = data_dir
        self._path = data_dir / FILE_NAME
        self._clock = clock
        self._lock = threading.Lock()
        self._connection = open_file(self._path, schema=_SCHEMA, format_version=FORMAT_VERSION)
        self._seen_version = -1
        self._tombstones = Tombstones(b"", {})
        try:
            self.tombstones()
        except BaseException:
            self._connection.close()
            raise

    @staticmethod
    def exist(data_dir: Path) -> bool:
        """Return whether there is a list in this data folder."""
        return (data_dir / FILE_NAME).exists()

    def request(self, event: Erase, position: Position | None = None) -> bool:
        """Record a request durably, and that its event must go from the log; False for one that is known.

        From here on nothing of the user or the article is stored.
        """
        named: dict[Kind, str] = {"user": event.user_id or "", "article": event.article_id or ""}
        named = {kind: name for kind, name in named.items() if name}
        with self._lock, transaction(self._connection, self._path):
            key = self._key_for_writing()
            if position is not None:
                self._connection.execute("INSERT OR IGNORE INTO positions VALUES (?, ?, ?)", position)
            event_digest = hashes.digest(key, "event", event.event_id)
            if self._connection.execute("SELECT 1 FROM erasures WHERE event_digest = ?", (event_digest,)).fetchone():
                return False
            self._insert(" and ".join(named), event_digest)
            digests = [(kind, hashes.digest(key, kind, name)) for kind, name in named.items()]
            self._connection.executemany(
                "INSERT OR IGNORE INTO tombstones VALUES (?, ?, ?)", [(kind, digest, digest) for kind, digest in digests]
            )
            return True

    def came_back(self) -> None:
        """Record that erased rows are in the tables again, so that they are erased again."""
        with self._lock, transaction(self._connection, self._path):
            self._insert("rows that came back", None)

    def derive(self, found: Iterable[Derived]) -> int:
        """Keep what belongs to erased things, durably, before its rows go; return how much of it was not known."""
        with self._lock, transaction(self._connection, self._path):
            key = self._key_for_writing()
            new = self._connection.executemany(
                "INSERT OR IGNORE INTO tombstones VALUES (?, ?, ?)",
                [(one.kind, hashes.digest(key, one.kind, one.name), one.cause) for one in found],
            ).rowcount
            self._forget_cache()
        return max(0, new)

    def tombstones(self) -> Tombstones:
        """Return what must not be stored; read again only when the file has changed."""
        with self._lock, translated_errors(self._path):
            # Changes of other connections show here; those of this one are announced by setting it to -1.
            version = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
            if version != self._seen_version:
                self._tombstones = self._read_tombstones()
                self._seen_version = version
            return self._tombstones

    def forget(self, kind: Kind, name: str) -> bool:
        """Let new events of an erased user or article be stored again; False when it was not erased."""
        with self._lock, transaction(self._connection, self._path):
            key = hashes.read_key(self._data_dir)
            cause = "" if key is None else hashes.digest(key, kind, name)
            gone = self._connection.execute(
                # What was derived from what was derived goes along: predictions from an article's text.
                "DELETE FROM tombstones WHERE cause = ?1 OR cause IN (SELECT digest FROM tombstones WHERE cause = ?1)",
                (cause,),
            ).rowcount
            self._forget_cache()
        return gone > 0

    def refused(self, events: Iterable[tuple[Position, Collection[str]]]) -> None:
        """Record durably the positions and ids of events of erased things, to be removed from the log too."""
        with self._lock, transaction(self._connection, self._path):
            for position, event_ids in events:
                self._connection.execute("INSERT OR IGNORE INTO positions VALUES (?, ?, ?)", position)
                self._add_work("event", event_ids)

    def positions(self) -> list[Position]:
        """Return the positions of the events that must be removed from the log."""
        with self._lock, translated_errors(self._path):
            rows = self._connection.execute("SELECT topic, topic_partition, event_offset FROM positions ORDER BY 1, 2, 3")
            return [Position(*row) for row in rows.fetchall()]

    def add_positions(self, positions: Iterable[Position]) -> None:
        """Add events to those that must go from the log."""
        with self._lock, transaction(self._connection, self._path):
            self._connection.executemany("INSERT OR IGNORE INTO positions VALUES (?, ?, ?)", list(positions))

    def drop_positions(self, positions: Iterable[Position]) -> None:
        """Record that these are gone."""
        with self._lock, transaction(self._connection, self._path):
            self._connection.executemany(
                "DELETE FROM positions WHERE topic = ? AND topic_partition = ? AND event_offset = ?", list(positions)
            )

    def work(self, kind: Work) -> frozenset[str]:
        """Return what is left to do of one kind."""
        with self._lock, translated_errors(self._path):
            return frozenset(
                row[0] for row in self._connection.execute("SELECT name FROM work WHERE kind = ?", (kind,)).fetchall()
            )

    def add_work(self, kind: Work, names: Iterable[str]) -> None:
        """Add to it."""
        with self._lock, transaction(self._connection, self._path):
            self._add_work(kind, names)

    def drop_work(self, kind: Work, names: Iterable[str] | None = None) -> None:
        """Record that these, or all of a kind, are done with."""
        with self._lock, transaction(self._connection, self._path):
            if names is None:
                self._connection.execute("DELETE FROM work WHERE kind = ?", (kind,))
            else:
                self._connection.executemany("DELETE FROM work WHERE kind = ? AND name = ?", [(kind, name) for name in names])

    def all(self) -> list[Erasure]:
        """Return every erasure, newest first."""
        return self._select("ORDER BY number DESC")

    def unfinished(self) -> list[Erasure]:
        """Return those that are not done, oldest first."""
        return self._select("WHERE done_at IS NULL ORDER BY number")

    def of_event(self, event_id: str) -> Erasure | None:
        """Return the erasure that an event asked for, None when it is not recorded (yet)."""
        key = hashes.read_key(self._data_dir)
        found = [] if key is None else self._select("WHERE event_digest = ?", (hashes.digest(key, "event", event_id),))
        return found[0] if found else None

    def reached(self, step: Step, numbers: Collection[int]) -> None:
        """Record that these erasures have come to a step."""
        now = self._clock().isoformat()
        with self._lock, transaction(self._connection, self._path):
            self._connection.executemany(
                f"UPDATE erasures SET {step} = ?, note = '' WHERE number = ?",  # noqa: S608 - one of four constants
                [(now, number) for number in numbers],
            )

    def rewritten(self, numbers: Collection[int], versions: Mapping[str, int]) -> None:
        """Record that the tables hold nothing of these erasures from these versions of theirs on."""
        now = self._clock().isoformat()
        with self._lock, transaction(self._connection, self._path):
            self._connection.executemany(
                "UPDATE erasures SET rewritten_at = ?, clean_versions = ? WHERE number = ?",
                [(now, json.dumps(dict(versions)), number) for number in numbers],
            )

    def clean_versions(self, number: int) -> dict[str, int]:
        """Return the version of each table from which on nothing of an erasure is left."""
        with self._lock, translated_errors(self._path):
            row = self._connection.execute("SELECT clean_versions FROM erasures WHERE number = ?", (number,)).fetchone()
        return {} if row is None or row[0] is None else json.loads(row[0])

    def note(self, number: int, note: str) -> None:
        """Say what an erasure waits for."""
        with self._lock, transaction(self._connection, self._path):
            self._connection.execute("UPDATE erasures SET note = ? WHERE number = ?", (note, number))

    def start_over(self) -> None:
        """Do all steps again of what is not purged: tables were taken back to an earlier version."""
        with self._lock, transaction(self._connection, self._path):
            self._connection.execute("UPDATE erasures SET removed_at = NULL, rewritten_at = NULL WHERE purged_at IS NULL")

    def forget_done(self, before: datetime) -> int:
        """Remove the records of erasures that were done before a moment; what they named stays refused. Returns how many."""
        with self._lock, transaction(self._connection, self._path):
            return self._connection.execute(
                "DELETE FROM erasures WHERE done_at < ?", (before.astimezone(UTC).isoformat(),)
            ).rowcount

    def vacuum(self) -> None:
        """Rewrite the file, so that nothing of what was deleted stays in it."""
        with self._lock:
            vacuum(self._connection, self._path)

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._connection.close()

    def _insert(self, what: str, event_digest: str | None) -> None:
        self._connection.execute(
            "INSERT INTO erasures (what, event_digest, requested_at, note) VALUES (?, ?, ?, '')",
            (what, event_digest, self._clock().isoformat()),
        )
        self._forget_cache()

    def _add_work(self, kind: Work, names: Iterable[str]) -> None:
        self._connection.executemany("INSERT OR IGNORE INTO work VALUES (?, ?)", [(kind, name) for name in names])

    def _forget_cache(self) -> None:
        self._seen_version = -1

    def _key_for_writing(self) -> bytes:
        """Return the key, made at the first request, checked against the hashes that are there."""
        check = self._connection.execute("SELECT digest FROM key_check").fetchone()
        if check is None:
            key = hashes.make_key(self._data_dir)
            self._connection.execute("INSERT INTO key_check VALUES (?)", (hashes.digest(key, _CHECKED, _CHECKED),))
            return key
        return self._checked_key(check[0])

    def _checked_key(self, check: str) -> bytes:
        key = hashes.read_key(self._data_dir)
        if key is None or hashes.digest(key, _CHECKED, _CHECKED) != check:
            what = "is missing" if key is None else "is not the one that the list of erasures was made with"
            message = (
                f"{self._data_dir / hashes.KEY_FILE} {what}; without it erased users and articles would be stored again. Nothing "
                "was changed. Restore the file from a backup"
            )
            raise StopError(message)
        return key

    def _read_tombstones(self) -> Tombstones:
        check = self._connection.execute("SELECT digest FROM key_check").fetchone()
        if check is None:
            return Tombstones(b"", {})
        digests: Mapping[str, set[str]] = defaultdict(set)
        for kind, digest in self._connection.execute("SELECT kind, digest FROM tombstones").fetchall():
            digests[kind].add(digest)
        return Tombstones(self._checked_key(check[0]), {kind: frozenset(some) for kind, some in digests.items()})

    def _select(self, rest: str, values: tuple[str, ...] = ()) -> list[Erasure]:
        columns = "number, what, requested_at, removed_at, rewritten_at, purged_at, retrain_at, done_at, note"
        with self._lock, translated_errors(self._path):
            rows = self._connection.execute(f"SELECT {columns} FROM erasures {rest}", values).fetchall()  # noqa: S608 - constants only
        return [_erasure(row) for row in rows]


def _erasure(row: tuple[Any, ...]) -> Erasure:
    number, what, requested_at, *reached, note = row
    removed_at, rewritten_at, purged_at, retrain_at, done_at = (at and datetime.fromisoformat(at) for at in reached)
    return Erasure(
        number, what, datetime.fromisoformat(requested_at), removed_at, rewritten_at, purged_at, retrain_at, done_at, note
    )
