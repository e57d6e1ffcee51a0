"""What is on record of a task's runs: when the daemon looked, what it started, decided and promoted, and under which policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from pydantic import ValidationError

from config.task_files import policies
from config.tasks import TaskSpec
from consumers.history.past import Seen
from daemon.training.concluding import promoting
from registry.aliases import AliasMove
from registry.people.pools import Pool
from registry.runs import Run
from registry.store import Registry
from registry.versions import Version

_MOST_RUNS = 100_000
_NUMBERED = ("threshold", "age", "evidence", "refresh")
"""Kinds of triggers whose key tells which row was the newest."""


@dataclass(frozen=True, slots=True)
class Record:
    """The runs of a task, oldest first, and what belongs to them."""

    runs: Sequence[Run]
    versions: Mapping[str, Version]
    """By run id."""
    outside: Sequence[AliasMove]
    """Moves of the alias that no run decided by itself, oldest first: of people, or by their answers to requests."""
    judged_later: frozenset[str]
    """Ids of runs whose pair people's answers decided: by itself each had too little evidence."""
    asked: Mapping[str, int]
    """Run id -> the labels that people were asked for."""
    lasted: Mapping[str, timedelta]
    """The median time that runs of a kind took."""
    forgotten: Sequence[str]
    """Versions whose runs are no longer on record, oldest first."""

    @property
    def seen(self) -> list[Seen]:
        """The moments at which it is known how far the daemon had come."""
        return [Seen(run.created_at, number) for run in self.runs if (number := looked_at(run)) > 0]


def read(registry: Registry, task: str) -> Record:
    """Return what the registry has of a task; a run under way is no history yet."""
    runs = [run for run in reversed(registry.runs.list(task, limit=_MOST_RUNS)) if run.finished]
    versions = {version.run_id: version for version in registry.versions.list(task)}
    pools = {run.run_id: pool for run in runs if (pool := registry.pools.find(f"pool-{run.run_id}")) is not None}
    later = frozenset(run_id for run_id, pool in pools.items() if pool.outcome in ("promoted", "kept"))
    known = {run.run_id for run in runs}
    return Record(
        runs=runs,
        versions=versions,
        outside=_outside(registry.versions.history(task), {version.name: version for version in versions.values()}, later),
        judged_later=later,
        asked={run_id: _asked(registry, pool) for run_id, pool in pools.items()},
        lasted=_lasted(runs),
        forgotten=[one.name for one in sorted(versions.values(), key=lambda one: one.number) if one.run_id not in known],
    )


def looked_at(run: Run) -> int:
    """Return the highest number that the daemon knew when it started a run; 0 where that is not on record."""
    kind, _, number = run.trigger_key.partition(":")
    return int(number) if kind in _NUMBERED and number.isdecimal() else run.max_seq


def policy_of(version: Version | None, task: TaskSpec) -> TaskSpec:
    """Return the task under the policy that a version was made under; as it is now where that is not on record.

    What a request set for one run alone is not of its policy: such a run is played as the task file has it.
    """
    settings = {} if version is None else version.lineage.settings
    given = settings.get("task", {})
    try:
        then = TaskSpec.model_validate({**given, "must_not_break": []})
    except ValidationError:
        return task
    if (then.name, then.kind, then.backend) != (task.name, task.kind, task.backend):
        return task
    found = {name: getattr(then, name) for name in policies.SECTIONS}
    if settings.get("overrides"):
        found["training"] = task.training
    return task.model_copy(update=found)


def _outside(history: Sequence[AliasMove], versions: Mapping[str, Version], later: frozenset[str]) -> list[AliasMove]:
    def by_its_run(move: AliasMove) -> bool:
        version = versions.get(move.to_version)
        return move.kind == "promote" and move.actor == promoting.ACTOR and (version is None or version.run_id not in later)

    return [move for move in history if not by_its_run(move)]


def _asked(registry: Registry, pool: Pool) -> int:
    return sum(one.asked_at is not None for one in registry.pools.requests(pool.pool_id))


def _lasted(runs: Sequence[Run]) -> dict[str, timedelta]:
    took: dict[str, list[float]] = {}
    for run in runs:
        if run.finished_at is not None and run.state == "decided":
            took.setdefault(run.kind, []).append((run.finished_at - run.created_at).total_seconds())
    return {kind: timedelta(seconds=max(0.0, median(seconds))) for kind, seconds in took.items()}
