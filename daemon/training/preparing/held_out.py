"""The share of new documents that each task holds out now, for whoever places texts or tells of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import structlog

from config.errors import PerennialError, StopError
from config.sections import EnrichSettings
from config.tasks import TaskSpec
from consumers.faults import of_the_machine
from consumers.training_set.held_out_share import HeldOutShare, held_out_share

if TYPE_CHECKING:
    from consumers.buffer.reader import BufferReader
    from registry.store import Registry

_READ_EVERY_S = 10.0
"""While an archive is imported, so long a share may be older than the rows that it follows from."""

log = structlog.get_logger(__name__)


def share_of(task: TaskSpec, registry: Registry, buffer: BufferReader, settings: EnrichSettings) -> HeldOutShare:
    """Return what a task holds out now."""
    past = registry.runs.past(task.name)
    needed = 0
    if past.undecided_rows is not None:
        # Of fewer rows than the policy asks for nothing is known of how many would decide.
        few = past.undecided_rows < task.promotion.min_test_examples
        needed = task.promotion.min_test_examples if few else past.undecided_required or 0
    # As the trigger policy counts, so that the rows are counted once for both.
    rows = buffer.counts(task.name, after_seq=past.max_seq).test_in_window
    return held_out_share(configured=settings.test_fraction, most=settings.max_test_fraction, test_rows=rows, needed=needed)


class Shares:
    """Tells which share is held out. Any thread."""

    def __init__(
        self, tasks: Callable[[], Mapping[str, TaskSpec]], registry: Registry, buffer: BufferReader, settings: EnrichSettings
    ) -> None:
        self._tasks = tasks
        self._registry = registry
        self._buffer = buffer
        self._settings = settings
        self._lock = threading.Lock()
        self._read_at_s: float | None = None
        self._shares: Mapping[str, float] = {}

    def __call__(self, task: str | None) -> float:
        """Return the share of a task; of an article (None), which serves all tasks, the highest."""
        configured = self._settings.test_fraction
        if self._settings.max_test_fraction <= configured:
            return configured
        with self._lock:
            now = time.monotonic()
            if self._read_at_s is None or now - self._read_at_s >= _READ_EVERY_S:
                self._shares, self._read_at_s = self._read(), now
            shares = self._shares
        return max(shares.values(), default=configured) if task is None else shares.get(task, configured)

    def _read(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, task in self._tasks().items():
            try:
                share = share_of(task, self._registry, self._buffer, self._settings)
            except Exception as error:
                if isinstance(error, StopError) or (of_the_machine(error) and not isinstance(error, PerennialError)):
                    raise
                # Texts go on being placed: as before, or as it is configured.
                log.warning("task.share_unknown", task=name, reason=str(error), next="the last known share is held out")
                found[name] = self._shares.get(name, self._settings.test_fraction)
                continue
            found[name] = share.share
            if share.share != self._shares.get(name, share.configured):
                log.info("task.holds_out", task=name, share=share.share, test_rows=share.test_rows, needed=share.needed)
        return found
