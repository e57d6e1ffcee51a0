"""A child process and what the kernel says it has cost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

_POLL_S = 0.1


class Child:
    """A started process that only this object waits for: else nobody learns what it has cost."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.cpu_s: float | None = None
        """Processor seconds of the child and of those that it waited for; None until it has ended."""

    def poll(self) -> int | None:
        """Return its exit code (negative: the signal that ended it), None while it runs."""
        return self._reaped(os.WNOHANG)

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for its end, or so long; return as `poll` does."""
        if timeout_s is None:
            return self._reaped(0)
        until = time.monotonic() + timeout_s
        while self.poll() is None and time.monotonic() < until:
            time.sleep(_POLL_S)
        return self.process.returncode

    def end(self, grace_s: float) -> None:
        """Ask its whole group to stop, and kill after `grace_s` what is left of it; nothing happens where nothing is left."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            self.wait(grace_s)
        # Also where the child went politely: it may have left processes of its own.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.wait()

    def _reaped(self, options: int) -> int | None:
        if self.process.returncode is None:
            try:
                pid, status, usage = os.wait4(self.process.pid, options)
            except ChildProcessError:
                # Somebody else waited for it after all.
                return self.process.wait()
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                self.cpu_s = usage.ru_utime + usage.ru_stime
        return self.process.returncode
