"""The seam between the cycle and what puts a candidate through its sandbox."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from config.tasks import TaskSpec
from daemon.training.sandbox.order import Findings
from registry.versions import SANDBOX, Version
from trainers.job.spec import JobSpec


class Sandbox(Protocol):
    """Opens a published candidate in a process of its own and asks it. One caller at a time."""

    def check(self, version: Version, spec: JobSpec, task: TaskSpec, ended: Callable[[], bool]) -> Findings | None:
        """Return what was found; None where the daemon stops meanwhile, or the run is to end, as `ended` says.

        `task` is the task as it is now. Raises `TryLaterError` (or what disk and network raise) where nothing can be said now.
        """
        ...


def recorded(version: Version) -> Findings | None:
    """Return what the sandbox found of a version; None where it was never in one."""
    found = version.metrics.get(SANDBOX)
    return None if found is None else Findings.model_validate(found)
