"""Refreshes gauges that no task reports, so that a scrape only reads figures that are there."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from consumers.dead_letters.store import DeadLetters
from daemon.process import last_backup
from daemon.telemetry.metrics import DaemonMetrics
from registry.store import Registry

_EVERY_S = 15.0


class Observer:
    """Looks at the registry, the dead letters and the note of the last backup. One thread steps."""

    def __init__(
        self,
        metrics: DaemonMetrics,
        *,
        registry: Registry,
        dead_letters: DeadLetters,
        tasks: Callable[[], Collection[str]],
        data_dir: Path,
    ) -> None:
        self._metrics = metrics
        self._registry = registry
        self._dead_letters = dead_letters
        self._tasks = tasks
        self._data_dir = data_dir

    def step(self) -> float:
        """Count once; return the seconds until the next time. Raises `RetryError` when a file cannot be read now."""
        tasks = sorted(self._tasks())
        paused = self._registry.pauses.every()
        for task in tasks:
            champion = self._registry.versions.champion(task)
            generation = champion.generation if champion else 0
            self._metrics.task_observed(task, self._registry.runs.outcomes(task), generation, paused=task in paused)
        # Also what others showed: a run of a removed task that was under way is counted when it ends.
        self._metrics.keep_only(tasks)
        self._metrics.observed(
            outbox_pending=self._registry.outbox.count_pending(),
            dead_letters=self._dead_letters.count(),
            last_backup_at=last_backup.last_backup_at(self._data_dir),
        )
        return _EVERY_S
