"""Runs: what was trained, when, why, and with which outcome."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

from daemon.training.triggers import request_key
from daemon.views.models.comparison import Comparison
from daemon.views.view import Recorded, View
from registry.runs import Run as Record
from registry.runs import RunState, Verdict
from registry.store import Registry

VERDICTS: Mapping[Verdict, str] = {"promote": "promoted", "keep": "not promoted", "insufficient_evidence": "undecided"}
"""Verdicts as people read them."""

Kind = Literal["full", "incremental", "refresh"]
"""What a run does: begin at the base model, go on from the champion, or solve the champion's head anew."""


class Outcome(View):
    """The outcome of a run so far."""

    state: RunState
    verdict: Verdict | None
    reasons: tuple[str, ...]
    """Of the verdict, in words."""
    error: str | None
    version: str | None
    comparison: Comparison | None

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

    @property
    def seconds(self) -> float | None:
        """How long it took; None until it is over."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


class Progress(Recorded):
    """The newest progress that a training child has reported."""

    phase: str
    step: int = 0
    steps: int = 0
    loss: float | None = None


class UnderWay(View):
    """The run that a task has not finished yet."""

    run_id: str
    state: RunState | Literal["waiting", "interrupted"]
    """`waiting` until it is tried again, `interrupted` while no daemon runs."""
    reason: str
    kind: Kind
    full: bool
    progress: Progress | None
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


def listed(registry: Registry, task: str | None = None, limit: int = 20) -> list[Run]:
    """Return the newest runs first, of one task or of all, failed ones too."""
    return [of(record) for record in registry.runs.list(task, limit)]


def that_serve(registry: Registry, event_id: str, task: str | None = None) -> list[Run]:
    """Return the run that serves a request (a `retrain` event), alone or with others; empty while none does."""
    return [of(record) for record in registry.runs.triggered(request_key(event_id), task)]


def under_way(record: Record, runs_dir: Path, *, led: bool) -> UnderWay:
    """Return a run that is not over; `led` says whether a daemon runs that works at it."""
    state: RunState | Literal["waiting", "interrupted"] = record.state if record.retry_at is None else "waiting"
    return UnderWay(
        run_id=record.run_id,
        # Nobody works at it: what it was at when the daemon ended is of no use to who reads this.
        state=state if led else "interrupted",
        reason=record.reason,
        kind=record.kind,
        full=record.full,
        progress=last_progress(runs_dir / record.run_id) if led and record.retry_at is None else None,
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
    from trainers.job import spec as job_spec  # noqa: PLC0415 - loads numpy, which serving need not

    path = run_dir / job_spec.HISTORY_FILE
    if not path.exists():
        return None
    for line in reversed(path.read_text(errors="replace").splitlines()):
        try:
            return Progress.model_validate(json.loads(line))
        except ValueError:
            continue  # the last line may be half written
    return None
