"""What the page reads from: opened at the first look, read at most as often as is worth it, shared by all who look."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from config.clock import Clock, utc_now
from config.errors import UserError
from config.settings import Settings
from config.tasks import TaskSpec
from daemon.views.serving_pace import ServingPace

if TYPE_CHECKING:  # LanceDB is slow to import, and a process that nobody looks at needs none
    from daemon.views.status import Status, StatusReader

_FRESH_S = 1.0
_SHARE_OF_TIME = 10.0
"""A look may take one tenth of the time, however long it takes."""


class Sources:
    """Handles for reading. Thread-safe: one look at a time, others get what it found."""

    def __init__(
        self, settings: Settings, *, tasks: Callable[[], Mapping[str, TaskSpec]],
        pace: Callable[[], ServingPace | None] = lambda: None, clock: Clock = utc_now,
    ) -> None:  # fmt: skip
        """`tasks` returns the task files in force; `pace` what this very process serves, if it does."""
        self.settings = settings
        self.clock = clock
        self.pace = pace
        self._tasks = tasks
        self._reader: StatusReader | None = None
        self._status: Status | None = None
        self._looked_at = 0.0
        self._took_s = 0.0
        self._lock = threading.RLock()

    @property
    def tasks(self) -> Mapping[str, TaskSpec]:
        """The task files in force."""
        return self._tasks()

    @property
    def reader(self) -> StatusReader:
        """The open handles. Raises `UserError` where nothing has run yet, `RetryError` when something cannot be read now."""
        with self._lock:
            if self._reader is None:
                from daemon.views.status import StatusReader  # noqa: PLC0415 - see above

                self._reader = StatusReader(self.settings, clock=self.clock)
            if self._reader.tasks is not self._tasks():
                self._reader.use_tasks(self._tasks())
            return self._reader

    def status(self) -> Status:
        """Return the status, a second old or ten times as old as reading it takes. Raises as `reader` does."""
        with self._lock:
            fresh_s = max(_FRESH_S, _SHARE_OF_TIME * self._took_s)
            began = time.monotonic()
            if self._status is None or began - self._looked_at > fresh_s:
                self._status = self.reader.read()
                self._looked_at = time.monotonic()
                self._took_s = self._looked_at - began
            return self._status

    def status_or_none(self) -> Status | None:
        """Return the status; None where nothing has run yet."""
        try:
            return self.status()
        except UserError:
            return None

    def close(self) -> None:
        """Release the handles."""
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None
