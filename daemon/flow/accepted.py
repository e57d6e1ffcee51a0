"""Which feedback was acknowledged: a small durable file that makes the idempotency key hold across restarts."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from config.files.sqlite_file import open_file, transaction, translated_errors, vacuum

FORMAT_VERSION = 1
_SCHEMA = """
CREATE TABLE accepted (
    event_id TEXT PRIMARY KEY, task TEXT NOT NULL, content_sha256 TEXT NOT NULL, value_sha256 TEXT NOT NULL,
    accepted_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX accepted_at ON accepted (accepted_at)
"""


@dataclass(frozen=True, slots=True)
class Accepted:
    """One acknowledged feedback event. `content_sha256` is of what the client sent, `value_sha256` of the event's bytes."""

    event_id: str
    task: str
    content_sha256: str
    value_sha256: str
    accepted_at: datetime
    repeated: bool = field(default=False, compare=False)
    """Whether it was acknowledged before, and is only acknowledged again."""


class AcceptedFeedback:
    """The file. Thread-safe; several serving processes may share it. Raises `RetryError` when it cannot be used now.

    What is older than `keep` is forgotten: the buffer's ledger knows it by then.
    """

    def __init__(self, path: Path, *, keep: timedelta) -> None:
        self._path = path
        self._keep = keep
        self._lock = threading.Lock()
        self._connection = open_file(path, schema=_SCHEMA, format_version=FORMAT_VERSION)

    def get(self, event_id: str) -> Accepted | None:
        """Return what was acknowledged under this id."""
        with self._lock, translated_errors(self._path):
            row = self._connection.execute(
                "SELECT event_id, task, content_sha256, value_sha256, accepted_at FROM accepted WHERE event_id = ?", (event_id,)
            ).fetchone()
        if row is None:
            return None
        event_id, task, content_sha256, value_sha256, accepted_at = row
        return Accepted(event_id, task, content_sha256, value_sha256, datetime.fromisoformat(accepted_at))

    def add(self, accepted: Accepted) -> None:
        """Record one durably; the first under an id stays."""
        moment = accepted.accepted_at.isoformat()
        values = (accepted.event_id, accepted.task, accepted.content_sha256, accepted.value_sha256, moment)
        oldest = (accepted.accepted_at - self._keep).isoformat()
        with self._lock, transaction(self._connection, self._path):
            self._connection.execute("INSERT OR IGNORE INTO accepted VALUES (?, ?, ?, ?, ?)", values)
            self._connection.execute("DELETE FROM accepted WHERE accepted_at < ?", (oldest,))

    def forget(self, event_ids: Collection[str]) -> None:
        """Remove what is known of these events, durably: they were erased."""
        with self._lock, transaction(self._connection, self._path):
            self._connection.executemany("DELETE FROM accepted WHERE event_id = ?", [(event_id,) for event_id in event_ids])

    def compact(self) -> None:
        """Rewrite the file, so that nothing of what was removed stays in it. Raises `RetryError`."""
        with self._lock:
            vacuum(self._connection, self._path)

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._connection.close()
