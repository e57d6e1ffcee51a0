"""A named thread that repeats one step; when it dies, the daemon stops loudly."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from config.errors import RetryError

_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 30.0

log = structlog.get_logger(__name__)


class SideTask:
    """Runs `step` again and again until `stop` is set.

    `step` returns the seconds to wait before the next one (0: at once). A `RetryError` is logged and the step repeated
    with a growing pause; any other exception ends the thread, is kept in `failure` and sets `stop` for the whole daemon.
    """

    def __init__(self, name: str, step: Callable[[], float], stop: threading.Event) -> None:
        self.name = name
        self.failure: Exception | None = None
        self._step = step
        self._stop = stop
        self._thread = threading.Thread(target=self._run, name=name)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the thread to end; return whether it did."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        backoff_s = _FIRST_BACKOFF_S
        try:
            while not self._stop.is_set():
                try:
                    pause_s = self._step()
                    backoff_s = _FIRST_BACKOFF_S
                except RetryError as error:
                    log.warning("side_task.retry", side_task=self.name, reason=str(error), again_in_s=backoff_s)
                    pause_s, backoff_s = backoff_s, min(_LONGEST_BACKOFF_S, backoff_s * 2)
                if pause_s:
                    self._stop.wait(pause_s)
        except Exception as error:  # the edge of a thread: nothing above it would see the exception
            self.failure = error
            log.exception("side_task.died", side_task=self.name, next="the daemon stops; mend the cause and start it again")
            self._stop.set()
