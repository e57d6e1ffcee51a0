"""The hash of each evidence bundle, in the registry: a bundle that was changed is found out."""

from __future__ import annotations

import builtins
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from config.clock import Clock
from registry.database.engine import Database, portions
from registry.database.schema import evidence
from registry.evidence import names
from registry.leases import check_token


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the registry knows of one bundle."""

    run_id: str
    sha256: str
    size_bytes: int
    rows: int
    """When it was written."""
    erased: int
    """Rows that were taken out since."""
    written_at: datetime
    erased_at: datetime | None
    """When rows were taken out last."""


class Evidence:
    """The table of evidence bundles, one a run."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def record(self, run_id: str, sha256: str, *, size_bytes: int, rows: int, fencing_token: int | None = None) -> None:
        """Record the bundle of a run in the place of an earlier one, such as one that a crash left behind."""
        with self._database.write() as connection:
            check_token(connection, fencing_token)
            connection.execute(sa.delete(evidence).where(evidence.c.run_id == run_id))
            values = {"sha256": sha256, "size_bytes": size_bytes, "rows": rows, "written_at": self._clock()}
            connection.execute(sa.insert(evidence).values(run_id=run_id, erased=0, **values))

    def record_erased(self, run_id: str, sha256: str, *, size_bytes: int, erased: int, fencing_token: int | None = None) -> None:
        """Record that a bundle has lost `erased` rows in all, and its new hash."""
        with self._database.write() as connection:
            check_token(connection, fencing_token)
            values = {"sha256": sha256, "size_bytes": size_bytes, "erased": erased, "erased_at": self._clock()}
            connection.execute(sa.update(evidence).where(evidence.c.run_id == run_id).values(**values))

    def of_run(self, run_id: str) -> Recorded | None:
        """Return what is known of the bundle of a run; None where it has none."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(evidence).where(evidence.c.run_id == run_id)).one_or_none()
        return None if row is None else Recorded(**row._mapping)  # noqa: SLF001 - SQLAlchemy's documented way

    def of_pair(self, run_id: str) -> builtins.list[str]:
        """Return the names of the bundles of a run and of later looks at its pair; the newest look last."""
        named = (evidence.c.run_id == run_id) | evidence.c.run_id.startswith(names.looks_of(run_id), autoescape=True)
        with self._database.read() as connection:
            found = connection.execute(sa.select(evidence.c.run_id).where(named)).scalars()
            return sorted(found, key=names.look_of)

    def names(self) -> builtins.list[str]:
        """Return the names of all bundles."""
        with self._database.read() as connection:
            return builtins.list(connection.execute(sa.select(evidence.c.run_id).order_by(evidence.c.run_id)).scalars())

    def forget(self, run_ids: Collection[str], *, fencing_token: int | None = None) -> None:
        """Forget the bundles of these runs; their files must be gone."""
        with self._database.write() as connection:
            check_token(connection, fencing_token)
            for some in portions(sorted(run_ids)):
                connection.execute(sa.delete(evidence).where(evidence.c.run_id.in_(some)))
