"""When a run that failed temporarily is tried again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from config.sections import TrainingSettings
from consumers.rows.requests import Request
from registry.runs import Run

_LONGEST_S = 3600.0


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
