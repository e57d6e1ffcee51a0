"""Stopping a process where it stands."""

from __future__ import annotations

import signal
import subprocess
import time

import psutil

_FREEZE_LIMIT_S = 30.0


def freeze(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Stop a process and return when it stands: on a busy machine it runs on for a moment."""
    process.send_signal(signal.SIGSTOP)
    deadline = time.monotonic() + _FREEZE_LIMIT_S
    while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < deadline, f"process {process.pid} did not stop"
        time.sleep(0.01)
