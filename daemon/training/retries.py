"""What a failed step means for a run: it waits and is tried again, or has failed for good."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from config.errors import PerennialError, RunFailedError, UserError
from config.sections import TrainingSettings
from consumers.rows.arriving.requests import Request
from registry.runs import Run
from trainers.job.passing import cause_that_passes

_LONGEST_S = 3600.0


class TryLaterError(PerennialError):
    """A step of a run failed temporarily."""


@dataclass(frozen=True, slots=True)
class Setback:
    """What becomes of a run whose step has failed."""

    reason: str
    retry_at: datetime | None
    """When it is tried again; None: it has failed for good."""
    foreseen: bool
    """Whether the reason says it all; else the log needs the traceback."""


def judge(run: Run, error: Exception, settings: TrainingSettings, now: datetime) -> Setback | None:
    """Return what `error` in a step means for the run (pure); None where it is not the run's own trouble."""
    if isinstance(error, (RunFailedError, UserError)):
        return Setback(str(error), None, foreseen=True)
    if isinstance(error, TryLaterError):
        return _again(run, str(error), settings, now, foreseen=True)
    if isinstance(error, PerennialError):
        return None
    told = f"in step {run.state}: {type(error).__name__}: {error}"
    passes = cause_that_passes(error) is not None or (isinstance(error, OSError) and not isinstance(error, FileNotFoundError))
    if passes:
        return _again(run, told, settings, now, foreseen=False)
    return Setback(f"an unexpected error {told}. The champion is unchanged", None, foreseen=False)


def pause(settings: TrainingSettings, failures: int) -> timedelta:
    """Return how long a run waits after so many failures (1 or more): twice as long each time, an hour at most."""
    doubled = settings.retry_after_s * 2.0 ** min(failures - 1, 40)
    return timedelta(seconds=max(settings.retry_after_s, min(_LONGEST_S, doubled)))


def waits(run: Run, settings: TrainingSettings, requests: Iterable[Request], now: datetime) -> bool:
    """Return whether a run waits to be tried again; who asks for a run of its task after its failure asks for that too."""
    longest = pause(settings, run.failures)
    # Further ahead than it ever waits: the clock was set back since.
    if run.retry_at is None or now >= run.retry_at or run.retry_at - now > longest:
        return False
    failed_at = run.retry_at - longest
    return not any(asked.task == run.task and asked.at > failed_at for asked in requests)


def _again(run: Run, reason: str, settings: TrainingSettings, now: datetime, *, foreseen: bool) -> Setback:
    failures, limit = run.failures + 1, settings.retry_limit
    if failures > limit:
        tried = f"{reason}. It failed {failures} times and is not tried again (training.retry_limit is {limit})"
        told = f"{tried}. Fix the cause; then `perennial train {run.task}` starts a new run"
        return Setback(told, None, foreseen=foreseen)
    return Setback(reason, now + pause(settings, failures), foreseen=foreseen)
