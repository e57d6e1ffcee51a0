"""What keeps a training child within bounds: threads, memory, a quick start, a polite stop, and no life after its daemon."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import psutil

from config.errors import PerennialError
from trainers.hardware import usable_cores

_MIB = 1 << 20
_WATCH_INTERVAL_S = 0.1
_IDLE = 19
"""The niceness of what runs in idle time alone."""
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


class StoppedError(PerennialError):
    """A signal asked this run to stop; it did so between two steps."""


class StopRequest:
    """Remembers that SIGTERM or SIGINT came, so that work ends between two steps and not inside one."""

    def __init__(self) -> None:
        self._signal: int | None = None

    def listen(self) -> None:
        """Catch both signals from now on (main thread only)."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._remember)

    def check(self) -> None:
        """Raise `StoppedError` when a signal has come."""
        if self._signal is not None:
            message = f"stopped by {signal.Signals(self._signal).name}; nothing is lost, and the run continues at the next start"
            raise StoppedError(message)

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        # No lock and no log here: a second signal may arrive inside this very function.
        self._signal = number


def cap_threads(threads: int) -> None:
    """Limit the thread pools of numpy, torch and tokenizers; works only before they are imported. 0: all cores but one."""
    count = threads or max(1, usable_cores() - 1)
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = str(count)
    # A waiting thread gives its core up, so that training beside serving does not spin.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def step_back(nice: int) -> None:
    """Let everything else on this machine go first: run at this niceness, 0 to 19, or at a higher one that is in force.

    At 19 this process runs where a core is idle, on Linux by its scheduling policy too: whatever wakes up takes the core at once,
    where it would wait some milliseconds for a process that is only nice. Before other threads are started: each has the
    niceness and the policy of the thread that starts it.
    """
    if nice > os.getpriority(os.PRIO_PROCESS, 0):
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    if nice >= _IDLE and hasattr(os, "SCHED_IDLE"):
        # A container may forbid it: then niceness has to do.
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def rest_collector() -> None:
    """Keep the garbage collector from looking, again and again, through what imports make: a fifth of the time they take."""
    gc.disable()


def wake_collector() -> None:
    """Let the collector work on what is made from here on: modules stay anyway. Nothing happens where it never rested."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def limit_data(limit_mib: int) -> None:
    """Refuse allocations beyond twice `limit_mib` (MemoryError), where the system can; 0: no limit.

    `watch` acts on memory in use; this stops the one allocation too large to be seen in time. Memory that is reserved but
    not used counts here, therefore twice.
    """
    if limit_mib > 0 and sys.platform == "linux":
        _soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = 2 * limit_mib * _MIB
        resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


@contextmanager
def watch(limit_mib: int, on_exceeded: Callable[[float], None], *, interval_s: float = _WATCH_INTERVAL_S) -> Iterator[None]:
    """Look at this process from a thread: call `on_exceeded(MiB in use)` above the limit (0: none); end it when its parent ends.

    `on_exceeded` runs in that thread and is called once.
    """
    done = threading.Event()
    thread = threading.Thread(target=_watch, args=(limit_mib, on_exceeded, interval_s, done), name="guard", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def peak_memory_mib() -> float:
    """Return the most memory this process ever held, in mebibytes."""
    with contextlib.suppress(OSError, StopIteration, ValueError):
        # What the system counts for the process begins with what its parent held when it was started.
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (_MIB if sys.platform == "darwin" else 1024)


def _watch(limit_mib: int, on_exceeded: Callable[[float], None], interval_s: float, done: threading.Event) -> None:
    process, parent = psutil.Process(), os.getppid()
    while not done.wait(interval_s):
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        in_use_mib = process.memory_info().rss / _MIB
        if 0 < limit_mib < in_use_mib:
            on_exceeded(in_use_mib)
            return
