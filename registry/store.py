"""The registry: the one place that says which versions exist, which one answers, and how each came to be."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from config.clock import Clock, utc_now
from registry.database.engine import Database
from registry.database.migrations import ensure_current
from registry.events.gaps import Gaps
from registry.events.notices import Notices
from registry.events.outbox import Outbox
from registry.evidence.records import Evidence
from registry.judging.looks import Looks
from registry.leases import Lease
from registry.people.api_keys import ApiKeys
from registry.people.audit import Audit
from registry.people.corrections import Corrections
from registry.people.desk import Desk
from registry.people.pauses import Pauses
from registry.people.pools import Pools
from registry.runs import Runs
from registry.versions import Versions

# Even a slow disk rewrites a file faster than this.
_VACUUM_AT_LEAST_S = 60.0
_VACUUM_BYTES_PER_S = 1e6


class Registry:
    """Opened once per process; safe to share between threads and with other processes."""

    def __init__(self, database: Database, clock: Clock = utc_now, *, apps_at: str = "") -> None:
        """`apps_at` is where apps reach serving: outgoing events name models by it."""
        self.database = database
        self.clock = clock
        self._apps_at = apps_at
        self.runs = Runs(database, clock)
        self.versions = Versions(database, clock)
        self.looks = Looks(database)
        self.outbox = Outbox(database, clock)
        self.notices = Notices(database, clock)
        self.lease = Lease(database, clock)
        self.corrections = Corrections(database, clock)
        self.gaps = Gaps(database, clock)
        self.audit = Audit(database, clock)
        self.api_keys = ApiKeys(database, clock, self.audit)
        self.pauses = Pauses(database, clock, self.audit)
        self.desk = Desk(database, clock)
        self.pools = Pools(database, clock, self.outbox)
        self.evidence = Evidence(database, clock)

    @classmethod
    def open(cls, url: str, *, clock: Clock = utc_now, read_only: bool = False, create: bool = True, apps_at: str = "") -> Self:
        """Open the registry at an SQLAlchemy URL (SQLite file or Postgres) and migrate it to the newest schema.

        Raises `UserError` for a URL that cannot be used or, without `create`, at which there is no registry; `StopError` when
        a newer program wrote the registry; `RetryError` when it cannot be reached, or is to be read only and does not exist yet.
        """
        database = Database(url, read_only=read_only, create=create)
        try:
            ensure_current(database)
        except BaseException:
            database.close()
            raise
        return cls(database, clock, apps_at=apps_at)

    def uri_of(self, version: str) -> str:
        """Return where apps fetch a version: the address of its manifest, relative where that of serving is not known."""
        return f"{self._apps_at}/v1/models/{version}/manifest"

    def compact(self, *, fencing_token: int | None = None) -> None:
        """Rewrite an SQLite file, so that nothing that was deleted stays in it. The lease outlasts it, however large the file.

        Raises `RetryError` when the file cannot be written now, `StopError` when `fencing_token` leads no longer.
        """
        if self.database.is_sqlite:
            with self.lease.held(fencing_token, _VACUUM_AT_LEAST_S + self.database.size_bytes() / _VACUUM_BYTES_PER_S):
                self.database.vacuum()

    def close(self) -> None:
        """Close every connection."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
