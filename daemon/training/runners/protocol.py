"""The seam between the cycle and where a training run is carried out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from trainers.job.spec import JobResult, JobSpec, Progress


class Runner(Protocol):
    """Carries out one run at a time, from one thread.

    A run folder holds all that a run needs (order, training set, the champion's model), by paths relative to it; what the run
    leaves (history, model, scores, result) lies there afterwards, wherever it was made.
    """

    def prepare(self, spec: JobSpec) -> None:
        """Write the order of a run, durably, before anything is started. Raises `ValueError` for a path outside the folder."""
        ...

    def run(self, spec: JobSpec, report: Callable[[Progress], None]) -> JobResult:
        """Carry the run out and return what it found; `report` hears of progress, from any thread.

        The status `try_later` says that the same order may succeed later, `stopped` that it continues when it is run again; any
        other failure is for good.
        """
        ...

    def end(self, run_id: str) -> None:
        """Stop this run, now or when it is started, as one that failed; from any thread."""
        ...
