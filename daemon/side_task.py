"""A named thread that repeats one step; when it dies, the daemon stops loudly."""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable

import structlog

from config.errors import PerennialError, RetryError, StopError

_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 30.0

log = structlog.get_logger(__name__)


class SideTask:
    """Runs `step` again and again until `until` (by default `stop`) is set.

    `step` returns the seconds to wait before the next one (0: at once). After a `RetryError` or on a full disk the step is
    repeated with a growing pause; any other exception ends the thread, is kept in `failure` and sets `stop` for the whole
    daemon.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], float],
        stop: threading.Event,
        *,
        until: threading.Event | None = None,
        step_limit_s: float | None = None,
    ) -> None:
        """`step_limit_s`: a step that takes longer is taken for hung by `check_progress`."""
        self.name = name
        self.succeeded_at = time.time()
        """When a step last ended well (at first: now), in seconds since 1970."""
        self._step_limit_s = step_limit_s
        self._step_began_at: float | None = None
        self.failure: Exception | None = None
        self._step = step
        self._stop = stop
        self._until = until or stop
        # A daemon thread: one that hangs cannot keep the process alive.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def check_progress(self) -> None:
        """Stop the daemon, loudly, when a step has taken longer than its limit; called from another thread."""
        began_at = self._step_began_at
        if self._step_limit_s is None or began_at is None or time.monotonic() - began_at <= self._step_limit_s:
            return
        frame = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001 - the one way to see where a thread stands
        message = f"no step of {self.name} has ended for {self._step_limit_s:.0f} s"
        self.failure = StopError(message)
        log.error(
            "side_task.hung",
            side_task=self.name,
            reason=message,
            next="the daemon stops, and uncommitted events come again; start it again, and report where it stood",
            stack="".join(traceback.format_stack(frame)) if frame else None,
        )
        self._stop.set()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the thread to end; return whether it did."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        backoff_s = _FIRST_BACKOFF_S
        try:
            while not self._until.is_set():
                try:
                    self._step_began_at = time.monotonic()
                    pause_s = self._step()
                    backoff_s = _FIRST_BACKOFF_S
                    self.succeeded_at = time.time()
                except (RetryError, OSError, RuntimeError) as error:
                    if not (isinstance(error, RetryError) or _disk_is_full(error)):
                        raise
                    log.warning("side_task.retry", side_task=self.name, reason=str(error), again_in_s=backoff_s)
                    pause_s, backoff_s = backoff_s, min(_LONGEST_BACKOFF_S, backoff_s * 2)
                self._step_began_at = None
                if pause_s:
                    self._until.wait(pause_s)
        except Exception as error:  # the edge of a thread: nothing above it would see the exception
            self.failure = error
            log.error(  # noqa: TRY400 - see exc_info
                "side_task.died",
                side_task=self.name,
                reason=str(error) or type(error).__name__,
                next="the daemon stops; mend the cause and start it again",
                # What the program foresaw explains itself; the rest needs its traceback.
                exc_info=not isinstance(error, PerennialError),
            )
            self._stop.set()


def _disk_is_full(error: Exception) -> bool:
    # By its text: LanceDB 0.40 reports a full disk as a RuntimeError.
    return os.strerror(errno.ENOSPC) in str(error)
