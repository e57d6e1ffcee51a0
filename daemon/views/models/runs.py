"""Runs: what was trained, when, why, and with which outcome."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from daemon.training.due.triggers import request_key
from daemon.views.models.comparison import Comparison
from daemon.views.view import Recorded, View
from registry.runs import Level, RunState, Verdict
from registry.runs import Run as Record
from registry.store import Registry
from trainers.job import files

VERDICTS: Mapping[Verdict, str] = {"promote": "promoted", "keep": "not promoted", "insufficient_evidence": "undecided"}
"""Verdicts as people read them."""

Kind = Literal["full", "incremental", "refresh"]
"""What a run does: begin at the base model, go on from the champion, or solve the champion's head anew."""


StandsStill = Literal["waiting", "held", "interrupted"]
STANDING_STILL: tuple[StandsStill, ...] = get_args(StandsStill)
"""What a run that is not over may be at while nobody works at it."""


class Outcome(View):
    """The outcome of a run so far."""

    state: RunState
    verdict: Verdict | None
    reasons: tuple[str, ...]
    """Of the verdict, in words."""
    error: str | None
    version: str | None
    comparison: Comparison | None
    readiness: Level | None = None
    """Whether what it made is to be deployed; None while that is not decided, and of runs of earlier releases."""

    @property
    def word(self) -> str:
        """The verdict as people read it, or else the state."""
        return VERDICTS[self.verdict] if self.verdict is not None else self.state

    @property
    def why(self) -> tuple[str, ...]:
        """The reasons of the verdict, or else what failed; empty while nothing is known."""
        return self.reasons or ((self.error,) if self.error else ())


class Run(Outcome):
    """One training attempt."""

    run_id: str
    task: str
    trigger_key: str
    reason: str
    """What started it, in words."""
    kind: Kind
    full: bool
    promote: bool
    """False: asked not to promote, whatever the verdict."""
    attempt: int
    parent: str | None
    """Champion when it began."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    max_seq: int
    training_set_sha256: str | None
    erased_at: datetime | None
    """When its folder was removed because its training set held texts that were erased."""
    failures: int
    """How often it has failed temporarily; `error` names the last."""
    retry_at: datetime | None
    """When it is tried again after that."""
    cpu_s: float | None = None
    """Processor seconds of its children, over all attempts; None: not counted."""

    @property
    def seconds(self) -> float | None:
        """How long it took; None until it is over."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


class Progress(Recorded):
    """The newest progress that a training child has reported."""

    phase: str
    at: datetime | None = None
    step: int = 0
    steps: int = 0
    loss: float | None = None
    examples_per_s: float | None = None


class UnderWay(View):
    """The run that a task has not finished yet."""

    run_id: str
    state: RunState | StandsStill
    """`waiting` until it is tried again, `held` while its task is paused, `interrupted` while no daemon runs."""
    reason: str
    kind: Kind
    full: bool
    progress: Progress | None
    ends_in_s: float | None = None
    """How long the present phase will still take at the pace it has had so far; None while that cannot be told."""
    failures: int
    error: str | None
    retry_at: datetime | None


class Ended(Outcome):
    """A run that is over."""

    run_id: str
    kind: Kind
    trigger: str
    """What started it, in words."""
    erased_at: datetime | None
    finished_at: datetime | None


def of(record: Record) -> Run:
    """Return the view of a registry's record."""
    return Run.model_validate(record)


def listed(registry: Registry, task: str | None = None, limit: int = 20, *, offset: int = 0) -> list[Run]:
    """Return the newest runs first, of one task or of all, failed ones too; `offset` passes over so many."""
    return [of(record) for record in registry.runs.list(task, limit, offset=offset)]


def of_id(registry: Registry, run_id: str) -> Run:
    """Return one run. Raises `UserError` when there is none of this id."""
    return of(registry.runs.get(run_id))


def that_serve(registry: Registry, event_id: str, task: str | None = None) -> list[Run]:
    """Return the run that serves a request (a `retrain` event), alone or with others; empty while none does."""
    return [of(record) for record in registry.runs.triggered(request_key(event_id), task)]


def under_way(record: Record, runs_dir: Path, *, led: bool, held: bool, now: datetime) -> UnderWay:
    """Return a run that is not over; `led` says whether a daemon runs that works at it, `held` whether its task is paused."""
    state: RunState | StandsStill = record.state if record.retry_at is None else "waiting"
    if held and state == "published":
        state = "held"
    lines = history(runs_dir / record.run_id) if led and record.retry_at is None else []
    return UnderWay(
        run_id=record.run_id,
        # Nobody works at it: what it was at when the daemon ended is of no use to who reads this.
        state=state if led else "interrupted",
        reason=record.reason,
        kind=record.kind,
        full=record.full,
        progress=lines[-1] if lines else None,
        ends_in_s=left_s(lines, now),
        failures=record.failures,
        error=record.error,
        retry_at=record.retry_at,
    )


def ended(record: Record) -> Ended:
    """Return a run that is over."""
    run = of(record)
    return Ended(trigger=run.reason, **{name: getattr(run, name) for name in Ended.model_fields if name != "trigger"})


def last_progress(run_dir: Path) -> Progress | None:
    """Return the newest whole line of a run's history, or None before the first."""
    return next(reversed(history(run_dir)), None)


def history(run_dir: Path) -> list[Progress]:
    """Return every whole line of a run's history, oldest first; none before the first, and once its folder is gone."""
    path = run_dir / files.HISTORY_FILE
    if not path.exists():
        return []
    found = []
    for line in path.read_text(errors="replace").splitlines():
        # A killed child may leave half a line, and the next attempt continues behind it.
        with suppress(ValueError):
            found.append(Progress.model_validate(json.loads(line)))
    return found


def left_s(lines: Sequence[Progress], now: datetime) -> float | None:
    """Return how long the newest phase will still take, at the pace of its steps so far; None while that cannot be told."""
    last = lines[-1] if lines else None
    if last is None or last.at is None or not last.steps:
        return None
    first = last
    for line in reversed(lines):
        # An attempt that was killed told of steps of its own.
        if line.phase != last.phase or line.step > first.step or line.at is None:
            break
        first = line
    if first.at is None or first.step == last.step or first.at >= last.at:
        return None
    step_s = (last.at - first.at).total_seconds() / (last.step - first.step)
    return max(0.0, (last.steps - last.step) * step_s - max(0.0, (now - last.at).total_seconds()))
