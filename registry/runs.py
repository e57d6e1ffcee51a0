"""Runs: one training attempt each, unique per task and trigger key, with the state it has reached."""

from __future__ import annotations

import builtins
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from config.clock import Clock
from config.errors import UserError
from registry import aliases
from registry.database.engine import Database, insert_many
from registry.database.schema import FINISHED_STATES, RUN_STATES, run_triggers, runs
from registry.leases import check_token

RunState = Literal["queued", "frozen", "training", "trained", "published", "decided", "failed"]
Verdict = Literal["promote", "keep", "insufficient_evidence"]
Level = Literal["DEPLOY", "REVIEW", "FAIL"]
"""As `trainers.compare.readiness` has it."""

REFRESH_KEY = "refresh:"
"""How the trigger keys of refreshes begin."""


@dataclass(frozen=True, slots=True)
class Run:
    """What is known of one run."""

    run_id: str
    task: str
    trigger_key: str
    reason: str
    full: bool
    promote: bool
    """False: asked not to promote, whatever the verdict."""
    state: RunState
    attempt: int
    parent: str | None
    """Champion when the run began; its artifact is kept while the run continues."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    verdict: Verdict | None
    reasons: tuple[str, ...]
    comparison: dict[str, Any] | None
    version: str | None
    max_seq: int
    """Highest enrichment number in its training set: later rows are new to the next trigger."""
    training_set_sha256: str | None
    error: str | None
    erased_at: datetime | None = None
    """When its folder was removed because its training set held texts that were erased."""
    failures: int = 0
    """How often it has failed temporarily; `error` names the last."""
    retry_at: datetime | None = None
    """When it is tried again after that; None once it continues."""
    cpu_s: float | None = None
    """Processor seconds of its children, over all attempts; None: not counted."""

    @property
    def refresh(self) -> bool:
        """Whether only the head of the champion is to be solved anew."""
        return self.trigger_key.startswith(REFRESH_KEY)

    @property
    def kind(self) -> Literal["full", "incremental", "refresh"]:
        """What it does: begin at the base model, go on from the champion, or solve the champion's head anew."""
        return "full" if self.full else "refresh" if self.refresh else "incremental"

    @property
    def readiness(self) -> Level | None:
        """Whether what it made is to be deployed; None while that is not decided, and of runs of before there were limits."""
        if self.state == "failed":
            return "FAIL"
        told = (self.comparison or {}).get("readiness")
        return told["level"] if told else None

    @property
    def finished(self) -> bool:
        """Whether the run is decided or failed."""
        return self.state in FINISHED_STATES


@dataclass(frozen=True, slots=True)
class Past:
    """What all runs a task ever had amount to, for the trigger policy."""

    trigger_keys: frozenset[str]
    max_seq: int
    """Highest enrichment number that any of them froze, refreshes apart; 0 before the first."""
    first_created_at: datetime | None
    last_finished_at: datetime | None
    """When the last of them ended, refreshes apart."""
    refreshed_seq: int
    """Highest enrichment number that any of them froze, refreshes included."""
    refreshed_at: datetime | None
    """When the last of them ended, refreshes included."""
    running: bool
    waiting: Run | None
    """The unfinished run that waits to be tried again."""
    trained: str | None
    """Id of the unfinished run of which nothing is left but its verdict."""
    given_up: Mapping[str, datetime]
    """Trigger keys of the runs that were tried again in vain until they were given up, and when that was."""
    undecided_rows: int | None
    """Held-out rows that the last decided run had, where its verdict is that the evidence is insufficient."""
    undecided_required: int | None
    """Held-out rows that it would have needed, as far as those that it had can tell; likewise."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How the runs of a task have ended so far."""

    last_ended_at: datetime | None
    last_decided_at: datetime | None
    failed_in_a_row: int
    """Runs that failed since the last one that was decided."""


class RunChanges(TypedDict, total=False):
    """What of a run may change."""

    attempt: int
    parent: str | None
    started_at: datetime | None
    finished_at: datetime | None
    verdict: Verdict | None
    reasons: Sequence[str]
    comparison: dict[str, Any] | None
    version: str | None
    max_seq: int
    training_set_sha256: str | None
    error: str | None
    failures: int
    retry_at: datetime | None
    cpu_s: float | None


class Runs:
    """The table of runs."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def create(
        self,
        task: str,
        trigger_key: str,
        reason: str,
        full: bool,
        *,
        promote: bool = True,
        further_keys: Collection[str] = (),
        fencing_token: int | None = None,
    ) -> Run | None:
        """Record a new run in state `queued`; None when this task has already had a run for this trigger key.

        It serves `further_keys` too; those that had a run stay with that one.
        """
        now = self._clock()
        run_id = f"{task}-{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
        with self._database.write() as connection:
            check_token(connection, fencing_token)
            used = _used_keys(connection, task)
            if trigger_key in used:
                return None
            further = [key for key in dict.fromkeys(further_keys) if key not in used and key != trigger_key]
            insert_many(connection, run_triggers, [{"task": task, "trigger_key": key, "run_id": run_id} for key in further])
            champion = aliases.champion(connection, task)
            connection.execute(
                sa.insert(runs).values(
                    run_id=run_id,
                    task=task,
                    trigger_key=trigger_key,
                    reason=reason,
                    full=full,
                    promote=promote,
                    state="queued",
                    attempt=1,
                    parent=None if champion is None else champion.version,
                    created_at=now,
                    reasons=[],
                    max_seq=0,
                )
            )
            return _run(connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).one())

    def update(
        self,
        run_id: str,
        *,
        state: RunState | None = None,
        within: Connection | None = None,
        fencing_token: int | None = None,
        **changes: Unpack[RunChanges],
    ) -> Run:
        """Change a run and return it. A state only moves forward; a finished run stays finished (`UserError`).

        In the transaction `within` when given, else only while `fencing_token` leads.
        """
        values: dict[str, Any] = {**changes}
        if "reasons" in values:
            values["reasons"] = list(values["reasons"])
        with self._database.write(within) as connection:
            check_token(connection, fencing_token)
            row = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).one_or_none()
            if row is None:
                raise UserError(_unknown(run_id))
            if state is not None:
                _check_forward(run_id, row.state, state)
                values["state"] = state
                if state in FINISHED_STATES and row.finished_at is None:
                    values.setdefault("finished_at", self._clock())
            if values:
                connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(**values))
            return _run(connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).one())

    def get(self, run_id: str) -> Run:
        """Return one run. Raises `UserError` when there is none of that id."""
        run = self.find(run_id)
        if run is None:
            raise UserError(_unknown(run_id))
        return run

    def find(self, run_id: str) -> Run | None:
        """Return one run, None when there is no record of it."""
        return next(iter(self._select(sa.select(runs).where(runs.c.run_id == run_id))), None)

    def newest_decided(self, task: str) -> str | None:
        """Return the id of the newest run of a task that has a verdict, None before the first."""
        query = sa.select(runs.c.run_id).where(runs.c.task == task, runs.c.state == "decided").order_by(runs.c.id.desc()).limit(1)
        with self._database.read() as connection:
            return connection.execute(query).scalar_one_or_none()

    def newest_failed(self, task: str) -> Run | None:
        """Return the newest run of a task that failed, however long ago; None where none has."""
        query = sa.select(runs).where(runs.c.task == task, runs.c.state == "failed").order_by(runs.c.id.desc()).limit(1)
        return next(iter(self._select(query)), None)

    def several(self, run_ids: Collection[str]) -> dict[str, Run]:
        """Return those of these runs that there is a record of, by id."""
        return {run.run_id: run for run in self._select(sa.select(runs).where(runs.c.run_id.in_(run_ids)))}

    def list(self, task: str | None = None, limit: int = 20, *, offset: int = 0) -> builtins.list[Run]:
        """Return the newest runs first, of one task or of all; `offset` passes over so many."""
        query = sa.select(runs).order_by(runs.c.id.desc()).limit(limit).offset(offset)
        return self._select(query if task is None else query.where(runs.c.task == task))

    def costs(self, task: str, since: datetime, limit: int) -> builtins.list[tuple[datetime, datetime, float | None]]:
        """Return when runs of a task that began at `since` or later began and ended, and their processor seconds.

        The newest `limit` that are over; None where the processor time was not counted.
        """
        over = runs.c.started_at.is_not(None) & runs.c.finished_at.is_not(None)
        query = sa.select(runs.c.started_at, runs.c.finished_at, runs.c.cpu_s).where(
            runs.c.task == task, over, runs.c.started_at >= since
        )
        query = query.order_by(runs.c.id.desc()).limit(limit)
        with self._database.read() as connection:
            return [(row.started_at, row.finished_at, row.cpu_s) for row in connection.execute(query)]

    def triggered(self, trigger_key: str, task: str | None = None) -> builtins.list[Run]:
        """Return the run of each task, or of one, that serves a trigger key, alone or with others."""
        served = sa.select(run_triggers.c.run_id).where(run_triggers.c.trigger_key == trigger_key)
        query = sa.select(runs).where((runs.c.trigger_key == trigger_key) | runs.c.run_id.in_(served)).order_by(runs.c.id)
        return self._select(query if task is None else query.where(runs.c.task == task))

    def trigger_keys(self, run_id: str) -> builtins.list[str]:
        """Return every trigger key that a run serves: its own first, then the others by name."""
        further = sa.select(run_triggers.c.trigger_key).where(run_triggers.c.run_id == run_id)
        with self._database.read() as connection:
            own = connection.execute(sa.select(runs.c.trigger_key).where(runs.c.run_id == run_id)).scalars()
            return [*own, *connection.execute(further.order_by(run_triggers.c.trigger_key)).scalars()]

    def unfinished(self) -> builtins.list[Run]:
        """Return the runs to continue with after a restart, oldest first."""
        return self._select(sa.select(runs).where(runs.c.state.not_in(FINISHED_STATES)).order_by(runs.c.id))

    def last(self, task: str) -> Run | None:
        """Return the newest run of a task, in whatever state."""
        return next(iter(self.list(task, limit=1)), None)

    def highest_seq(self) -> int:
        """Return the highest enrichment number that any run has seen, 0 before the first."""
        with self._database.read() as connection:
            return connection.execute(sa.select(sa.func.max(runs.c.max_seq))).scalar_one() or 0

    def past(self, task: str) -> Past:
        """Return what all runs of a task amount to, without reading their comparisons."""
        mine = runs.c.task == task
        highest, first, last = sa.func.max(runs.c.max_seq), sa.func.min(runs.c.created_at), sa.func.max(runs.c.finished_at)
        slow = mine & runs.c.trigger_key.not_like(f"{REFRESH_KEY}%")
        with self._database.read() as connection:
            max_seq, first_created_at, last_finished_at = connection.execute(sa.select(highest, first, last).where(slow)).one()
            refreshed_seq, refreshed_at = connection.execute(sa.select(highest, last).where(mine)).one()
            going = sa.select(runs).where(mine, runs.c.state.not_in(FINISHED_STATES)).order_by(runs.c.id).limit(1)
            under_way = next((_run(row) for row in connection.execute(going)), None)
            in_vain = sa.select(runs.c.trigger_key, runs.c.finished_at).where(mine, runs.c.state == "failed", runs.c.failures > 0)
            given_up = {row.trigger_key: row.finished_at for row in connection.execute(in_vain)}
            decided = sa.select(runs.c.verdict, runs.c.comparison).where(slow, runs.c.state == "decided")
            newest = connection.execute(decided.order_by(runs.c.id.desc()).limit(1)).one_or_none()
            undecided = None if newest is None else _undecided(newest.verdict, newest.comparison)
            return Past(
                _used_keys(connection, task),
                max_seq or 0,
                first_created_at,
                last_finished_at,
                refreshed_seq or 0,
                refreshed_at,
                running=under_way is not None,
                waiting=under_way if under_way is not None and under_way.retry_at is not None else None,
                trained=under_way.run_id if under_way is not None and under_way.state == "published" else None,
                given_up=given_up,
                undecided_rows=None if undecided is None else undecided[0],
                undecided_required=None if undecided is None else undecided[1],
            )

    def outcomes(self, task: str) -> Outcomes:
        """Return how the runs of a task have ended so far."""
        mine = runs.c.task == task
        decided = sa.and_(mine, runs.c.state == "decided")
        newest_decided = sa.select(sa.func.coalesce(sa.func.max(runs.c.id), 0)).where(decided).scalar_subquery()
        failed = sa.select(sa.func.count()).where(mine, runs.c.state == "failed", runs.c.id > newest_decided)
        with self._database.read() as connection:
            return Outcomes(
                connection.execute(sa.select(sa.func.max(runs.c.finished_at)).where(mine)).scalar_one(),
                connection.execute(sa.select(sa.func.max(runs.c.finished_at)).where(decided)).scalar_one(),
                int(connection.execute(failed).scalar_one()),
            )

    def _select(self, query: sa.Select[Any]) -> builtins.list[Run]:
        with self._database.read() as connection:
            return [_run(row) for row in connection.execute(query)]


def _used_keys(connection: sa.Connection, task: str) -> frozenset[str]:
    """Return the trigger keys that had a run, of their own or with others."""
    own = sa.select(runs.c.trigger_key).where(runs.c.task == task)
    further = sa.select(run_triggers.c.trigger_key).where(run_triggers.c.task == task)
    return frozenset(connection.execute(sa.union_all(own, further)).scalars())


def _undecided(verdict: str | None, comparison: dict[str, Any] | None) -> tuple[int, int] | None:
    """Return how many random test rows an undecided run had, and how many would have decided; None where it is decided.

    Rows that people were asked about are none: a later look counts them beside these.
    """
    if verdict != "insufficient_evidence":
        return None
    told = comparison or {}
    if asked := told.get("asked"):
        return int(asked.get("test_rows", 0)), int(asked.get("needed_test_rows", 0))
    return int(told.get("rows", 0)), int(told.get("required_rows", 0))


def _run(row: Row[Any]) -> Run:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's documented way to a row as a mapping
    del values["id"]
    return Run(**values | {"reasons": tuple(values["reasons"])})


def _unknown(run_id: str) -> str:
    return f"there is no run {run_id!r}; `perennial runs` lists them"


def _check_forward(run_id: str, before: str, after: str) -> None:
    if before == after:
        return
    if before in FINISHED_STATES or RUN_STATES.index(after) < RUN_STATES.index(before):
        message = f"run {run_id} is {before!r} and cannot become {after!r}; nothing was changed. Start a new run"
        raise UserError(message)
