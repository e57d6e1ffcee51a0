"""Versions: what was trained, from what, and what it has learnt; their numbers have no gaps."""

from __future__ import annotations

import builtins
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict
from sqlalchemy.engine import Connection, Row

from config.clock import Clock
from config.errors import RetryError, UserError
from registry import aliases
from registry.aliases import Alias, AliasMove
from registry.database.engine import Database, insert_many
from registry.database.schema import learnt as learnt_table
from registry.database.schema import versions
from registry.leases import check_token

SANDBOX = "sandbox"
"""The key under which the metrics of a version hold what its sandbox found."""
_FAILED = '"outcome": "failed"'
"""Stands in the metrics, as they are stored, of each version that it refused; whoever reads them looks further."""


class Lineage(BaseModel):
    """What a version was made from, enough to make it again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    training_set_sha256: str
    seed: int
    settings: Mapping[str, Any]
    """Task file, training settings, batch size: everything that was set for the run."""
    code: str
    """Versions of this program and of the libraries that matter."""
    counts: Mapping[str, int] = {}
    """Rows of the training set per role."""


@dataclass(frozen=True, slots=True)
class Version:
    """A trained model that was published."""

    name: str
    """For example `news-topics/v17`."""
    task: str
    number: int
    run_id: str
    artifact_id: str
    manifest_sha256: str
    size_bytes: int
    parent: str | None
    """The version it went on learning from; None when it started from the base model."""
    lineage: Lineage
    metrics: Mapping[str, Any]
    created_at: datetime
    collected_at: datetime | None
    """When its files were removed; the record stays."""
    affected_at: datetime | None = None
    """When a text that it learnt from, itself or through a parent, was erased."""

    @property
    def refused_by_sandbox(self) -> str | None:
        """Why the sandbox refused it, in words; None where it passed, or was never in one."""
        found = self.metrics.get(SANDBOX) or {}
        return str(found.get("reason")) if found.get("outcome") == "failed" else None


class Versions:
    """The table of versions, and reading access to their aliases."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def next_number(self, task: str) -> int:
        """Return the number the task's next version will have."""
        with self._database.read() as connection:
            return _next_number(connection, task)

    def add(
        self,
        task: str,
        number: int,
        *,
        run_id: str,
        artifact_id: str,
        manifest_sha256: str,
        size_bytes: int,
        parent: str | None,
        lineage: Lineage,
        metrics: Mapping[str, Any],
        learnt: Collection[str],
        fencing_token: int | None = None,
    ) -> Version:
        """Record a published version; a run that already has one gets that one back, unchanged.

        Of `learnt`, only ids that no parent has learnt are stored. Raises `RetryError` when `number` is no longer the next
        one: ask again and publish under the new number.
        """
        with self._database.write() as connection:
            check_token(connection, fencing_token)
            known = _select(connection, versions.c.run_id == run_id)
            if known:
                return known[0]
            expected = _next_number(connection, task)
            if number != expected:
                message = f"{task}/v{number} of run {run_id} came too late: the next number is {expected}. The step is retried"
                raise RetryError(message)
            came_from = None if parent is None else find(connection, parent)
            parent_id = None if parent is None else _id(connection, parent)
            values = {
                "name": f"{task}/v{number}",
                "task": task,
                "number": number,
                "run_id": run_id,
                "artifact_id": artifact_id,
                "manifest_sha256": manifest_sha256,
                "size_bytes": size_bytes,
                "parent_id": parent_id,
                "lineage": lineage.model_dump(mode="json"),
                "metrics": dict(metrics),
                "created_at": self._clock(),
                "affected_at": self._clock() if came_from is not None and came_from.affected_at is not None else None,
            }
            version_id = connection.execute(sa.insert(versions).values(**values).returning(versions.c.id)).scalar_one()
            inherited = frozenset() if parent_id is None else _learnt(connection, parent_id)
            rows = [{"version_id": version_id, "example_id": example_id} for example_id in sorted(set(learnt) - inherited)]
            insert_many(connection, learnt_table, rows)
            return _select(connection, versions.c.id == version_id)[0]

    def note_head(self, name: str, *, solvable: bool, why: str = "", fencing_token: int | None = None) -> None:
        """Record whether a version's head can be solved anew by itself and, where it cannot though its kind's can, `why`."""
        self._note(name, {"refreshable": solvable} | ({"standing_head": why} if why else {}), fencing_token)

    def note_sandbox(self, name: str, found: Mapping[str, Any], *, fencing_token: int | None = None) -> None:
        """Record what the sandbox found of a version: `outcome`, `reason` and figures."""
        self._note(name, {SANDBOX: dict(found)}, fencing_token)

    def _note(self, name: str, noted: Mapping[str, Any], fencing_token: int | None) -> None:
        with self._database.write() as connection:
            check_token(connection, fencing_token)
            metrics = find(connection, name).metrics
            connection.execute(sa.update(versions).where(versions.c.name == name).values(metrics={**metrics, **noted}))

    def list(self, task: str | None = None, limit: int | None = None, *, offset: int = 0) -> builtins.list[Version]:
        """Return all versions or the newest `limit`, newest first, of one task or of all; `offset` passes over so many."""
        with self._database.read() as connection:
            return _select(connection, sa.true() if task is None else versions.c.task == task, limit, offset)

    def refused(self, task: str | None, limit: int) -> builtins.list[Version]:
        """Return the newest `limit` versions that the sandbox refused, newest first, of one task or of all."""
        failed = sa.cast(versions.c.metrics, sa.Text).like(f"%{_FAILED}%")
        with self._database.read() as connection:
            found = _select(connection, failed if task is None else failed & (versions.c.task == task))
        return [version for version in found if version.refused_by_sandbox is not None][:limit]

    def get(self, name: str) -> Version:
        """Return the version called `task/vN`. Raises `UserError` when there is none."""
        with self._database.read() as connection:
            return find(connection, name)

    def of_run(self, run_id: str) -> Version | None:
        """Return the version a run has published, None before it did."""
        with self._database.read() as connection:
            return next(iter(_select(connection, versions.c.run_id == run_id)), None)

    def learnt(self, name: str) -> frozenset[str]:
        """Return the ids of all examples a version has learnt from, its own and its parents'."""
        with self._database.read() as connection:
            return _learnt(connection, _id(connection, name))

    def learnt_by_any(self) -> frozenset[str]:
        """Return the ids of all examples that any version of any task has learnt from."""
        with self._database.read() as connection:
            return frozenset(connection.execute(sa.select(learnt_table.c.example_id).distinct()).scalars())

    def who_learnt(self, task: str, example_ids: Collection[str]) -> builtins.list[str]:
        """Return the names of the versions that learnt from any of these examples (not through a parent), oldest first."""
        # Version by version: the key of what they learnt begins with the version, and a look for the example alone reads all.
        learners = sa.exists().where(learnt_table.c.version_id == versions.c.id, learnt_table.c.example_id.in_(example_ids))
        query = sa.select(versions.c.name).where(versions.c.task == task, learners).order_by(versions.c.number)
        with self._database.read() as connection:
            return builtins.list(connection.execute(query).scalars())

    def who_learnt_of(self, task: str, beginnings: Sequence[str]) -> builtins.list[str]:
        """Return the names of the versions that learnt from examples whose ids begin so (not through a parent), oldest first."""
        begins = sa.or_(*(learnt_table.c.example_id.startswith(one, autoescape=True) for one in beginnings))
        learners = sa.exists().where(learnt_table.c.version_id == versions.c.id, begins)
        query = sa.select(versions.c.name).where(versions.c.task == task, learners).order_by(versions.c.number)
        with self._database.read() as connection:
            return builtins.list(connection.execute(query).scalars())

    def champion(self, task: str) -> Alias | None:
        """Return the alias of the version in production, None before the first promotion."""
        with self._database.read() as connection:
            return aliases.champion(connection, task)

    def previous(self, task: str) -> Alias | None:
        """Return the alias of the version that a rollback goes back to, None before the second promotion."""
        with self._database.read() as connection:
            return aliases.previous(connection, task)

    def aliases(self, task: str) -> builtins.list[Alias]:
        """Return `champion` and `previous`, those that exist."""
        with self._database.read() as connection:
            return aliases.of_task(connection, task)

    def all_aliases(self) -> builtins.list[Alias]:
        """Return `champion` and `previous` of every task, those that exist."""
        with self._database.read() as connection:
            return aliases.every(connection)

    def history(self, task: str) -> builtins.list[AliasMove]:
        """Return every promotion, rollback, pin and unpin of a task, oldest first."""
        with self._database.read() as connection:
            return aliases.history(connection, task)

    def newest_moves(self, task: str | None = None, limit: int = 100) -> builtins.list[AliasMove]:
        """Return the newest `limit` promotions, rollbacks, pins and unpins, newest first, of one task or of all."""
        with self._database.read() as connection:
            return aliases.newest_moves(connection, task, limit)


def find(connection: Connection, name: str) -> Version:
    """Return the version called `task/vN`. Raises `UserError` when there is none."""
    found = _select(connection, versions.c.name == name)
    if not found:
        raise UserError(_unknown(name))
    return found[0]


def select_all(connection: Connection) -> builtins.list[Version]:
    """Return every version of every task, newest first."""
    return _select(connection, sa.true())


def select_affected(connection: Connection) -> builtins.list[Version]:
    """Return the versions that learnt from erased texts and still have their files, newest first."""
    return _select(connection, versions.c.affected_at.is_not(None) & versions.c.collected_at.is_(None))


def _next_number(connection: Connection, task: str) -> int:
    highest = connection.execute(sa.select(sa.func.max(versions.c.number)).where(versions.c.task == task)).scalar_one()
    return 1 + (highest or 0)


def _id(connection: Connection, name: str) -> int:
    found = connection.execute(sa.select(versions.c.id).where(versions.c.name == name)).scalar_one_or_none()
    if found is None:
        raise UserError(_unknown(name))
    return int(found)


def _learnt(connection: Connection, version_id: int) -> frozenset[str]:
    chain = sa.select(versions.c.id, versions.c.parent_id).where(versions.c.id == version_id).cte("chain", recursive=True)
    chain = chain.union_all(sa.select(versions.c.id, versions.c.parent_id).join(chain, versions.c.id == chain.c.parent_id))
    query = sa.select(learnt_table.c.example_id).join(chain, learnt_table.c.version_id == chain.c.id)
    return frozenset(connection.execute(query).scalars())


def _select(
    connection: Connection, condition: sa.ColumnElement[bool], limit: int | None = None, offset: int = 0
) -> builtins.list[Version]:
    parents = versions.alias("parents")
    query = (
        sa.select(versions, parents.c.name.label("parent"))
        .outerjoin(parents, versions.c.parent_id == parents.c.id)
        .where(condition)
        .order_by(versions.c.id.desc())
        .limit(limit)
        .offset(offset)
    )
    return [_version(row) for row in connection.execute(query)]


def _version(row: Row[Any]) -> Version:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's documented way to a row as a mapping
    del values["id"], values["parent_id"]
    return Version(**values | {"lineage": Lineage.model_validate(values["lineage"])})


def _unknown(name: str) -> str:
    return f"there is no version {name!r}; `perennial models list` shows them (a version is called task/vN)"
