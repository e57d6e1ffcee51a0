"""What the page reads from: opened at the first look, read at most as often as is worth it, shared by all who look."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import structlog

from config.clock import Clock, utc_now
from config.errors import NothingRanError, PerennialError
from config.settings import Settings
from config.tasks import TaskSpec
from daemon.views.installation.serving_pace import ServingPace

if TYPE_CHECKING:  # LanceDB is slow to import, and a process that nobody looks at needs none
    from daemon.views.installation.status import Status, StatusReader

log = structlog.get_logger(__name__)

_FRESH_S = 1.0
_QUICK_S, _OLDER_S = 0.1, 60.0
_KEPT_S, _KEPT_SHARE, _MOST_KEPT = 60.0, 100.0, 200
T = TypeVar("T")
_SHARE_OF_TIME = 10.0
"""A look may take one tenth of the time, however long it takes."""


class _Found(NamedTuple):
    value: Any
    at: float
    took_s: float


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
        self._looker: StatusReader | None = None
        """Handles of its own for the status: a reader serves one at a time, and a page would wait for what takes long."""
        self._status: Status | None = None
        self._looked_at = 0.0
        self._took_s = 0.0
        self._done = 0
        """How often somebody changed something here: a look that began before has not seen it."""
        self._behind: threading.Thread | None = None
        self._kept: dict[str, _Found] = {}
        self._looking = threading.Lock()
        self._lock = threading.RLock()

    @property
    def tasks(self) -> Mapping[str, TaskSpec]:
        """The task files in force."""
        return self._tasks()

    @property
    def reader(self) -> StatusReader:
        """The open handles. Raises `NothingRanError` where nothing has run, `RetryError` when something cannot be read now."""
        with self._lock:
            self._reader = self._current(self._reader)
            return self._reader

    def _current(self, reader: StatusReader | None) -> StatusReader:
        if reader is None:
            from daemon.views.installation.status import StatusReader  # noqa: PLC0415 - see above

            reader = StatusReader(self.settings, tasks=self._tasks(), clock=self.clock)
        if reader.tasks is not self._tasks():
            reader.use_tasks(self._tasks())
        return reader

    def status(self) -> Status:
        """Return the status, a second old or ten times as old as reading it takes. Raises as `reader` does.

        Where reading takes long, as over a million examples, nobody waits for it: who looks gets what is known, up to a minute
        older, and a look begins behind.
        """
        with self._lock:
            known, age_s = self._status, time.monotonic() - self._looked_at
            fresh_s = max(_FRESH_S, _SHARE_OF_TIME * self._took_s)
            if known is not None and age_s <= fresh_s:
                return known
            if known is not None and self._took_s > _QUICK_S and age_s <= fresh_s + _OLDER_S:
                if self._behind is None or not self._behind.is_alive():
                    self._behind = threading.Thread(target=self._look_behind, name="status", daemon=True)
                    self._behind.start()
                return known
        return self._look()

    def _look(self) -> Status:
        asked = time.monotonic()
        with self._looking:
            with self._lock:
                # Who looked while this one waited has found what it would.
                if self._status is not None and self._looked_at > asked:
                    return self._status
                done = self._done
            # Nobody else touches it: `_looking` is held.
            self._looker = self._current(self._looker)
            began = time.monotonic()
            found = self._looker.read()
            with self._lock:
                self._took_s = time.monotonic() - began
                if self._done == done:
                    self._status, self._looked_at = found, time.monotonic()
            return found

    def _look_behind(self) -> None:
        try:
            self._look()
        except PerennialError as error:
            # What is known stays until it is too old; then who looks is told.
            log.debug("dashboard.look_failed", reason=str(error))
        except Exception:  # the edge of a thread
            log.exception("dashboard.look_failed")

    def look_anew(self) -> None:
        """Let the next look find what was just done, however fresh the last one is."""
        with self._lock:
            self._status = None
            self._done += 1

    def kept(self, key: str, make: Callable[[], T]) -> T:
        """Return what `make` found under this key: a minute old, or a hundred times as old as finding it took."""
        with self._lock:
            found = self._kept.get(key)
        now = time.monotonic()
        if found is None or now - found.at > max(_KEPT_S, _KEPT_SHARE * found.took_s):
            value = make()
            found = _Found(value, time.monotonic(), time.monotonic() - now)
            with self._lock:
                if len(self._kept) >= _MOST_KEPT:
                    self._kept.clear()
                self._kept[key] = found
        made: T = found.value
        return made

    def status_or_none(self) -> Status | None:
        """Return the status; None where nothing has run yet."""
        try:
            return self.status()
        except NothingRanError:
            return None

    def close(self) -> None:
        """Release the handles, once nobody reads them."""
        with self._looking, self._lock:
            for reader in (self._reader, self._looker):
                if reader is not None:
                    reader.close()
            self._reader = self._looker = None
