"""A process that ends when the one that started it has ended."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PARENT_VARIABLE = "TRAINING_PARENT_PID"
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends (Linux; elsewhere `watch` does it).

    A parent that gives its process id in `PARENT_VARIABLE` is missed even when it died while this process was starting.
    """
    parent = int(os.environ.get(PARENT_VARIABLE, os.getppid()))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before: the signal will not come
        os.kill(os.getpid(), signal.SIGKILL)
