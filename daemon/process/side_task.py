"""A named thread that repeats one step; when it dies, the daemon stops loudly."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable

import structlog

from config.errors import PerennialError, RetryError, StopError
from consumers.faults import of_the_machine

_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 30.0

log = structlog.get_logger(__name__)


class SideTask:
    """Runs `step` again and again until `until` (by default `stop`) is set.

    `step` returns the seconds to wait before the next one (0: at once). After a `RetryError`, and where disk or memory fail, the
    step is repeated with a growing pause; any other exception ends the thread, is kept in `failure` and sets `stop` for the
    whole daemon.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], float],
        stop: threading.Event,
        *,
        until: threading.Event | None = None,
        step_limit_s: float | None = None,
        deadline_s: float | None = None,
    ) -> None:
        """`deadline_s`: while a step takes longer, `problem` says so; `step_limit_s`: `check_progress` takes it for hung."""
        self.name = name
        self.succeeded_at = time.time()
        """When a step last ended well (at first: now), in seconds since 1970."""
        self._step_limit_s = step_limit_s
        self._deadline_s = deadline_s
        self._retried_for: str | None = None
        """Why the last step must be repeated."""
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
            next="the daemon stops; uncommitted events are read again. Start it again, and report this with the stack",
            stack="".join(traceback.format_stack(frame)) if frame else None,
        )
        self._stop.set()

    def problem(self) -> str | None:
        """Return why it makes no progress at this moment, in words; None when it does. From any thread."""
        began_at = self._step_began_at
        if self.failure is not None:
            return str(self.failure) or type(self.failure).__name__
        if self._deadline_s is not None and began_at is not None and (took := time.monotonic() - began_at) > self._deadline_s:
            return f"its present step has taken {took:.0f} s, longer than its deadline of {self._deadline_s:.0f} s"
        return self._retried_for

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
                    self.succeeded_at, self._retried_for = time.time(), None
                except Exception as error:
                    if not _passes(error):
                        raise
                    self._retried_for = str(error) or type(error).__name__
                    log.warning("side_task.retry", side_task=self.name, reason=self._retried_for, again_in_s=backoff_s)
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
                next="the daemon stops; fix the cause and start it again",
                # What the program foresaw explains itself; the rest needs its traceback.
                exc_info=not isinstance(error, PerennialError),
            )
            self._stop.set()


def _passes(error: Exception) -> bool:
    """Return whether the same step may succeed later: what else the program foresaw needs an operator."""
    return isinstance(error, RetryError) or (of_the_machine(error) and not isinstance(error, PerennialError))
