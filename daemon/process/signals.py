"""Signals, obeyed on a thread of their own.

A handler runs between any two steps of the main thread: one that takes a lock may meet it held by the very thread that it
has interrupted, and then waits for ever. So the handlers only put the number into a queue that needs no lock.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue

import structlog

log = structlog.get_logger(__name__)


def obey(*, reload: Callable[[], None], stop: Callable[[], None] | None = None, stop_limit_s: float = 0.0) -> None:
    """From now on SIGHUP calls `reload` and, with `stop`, SIGTERM and SIGINT call that; call it from the main thread.

    The main thread must wait for nothing without a limit: a signal that comes just before it begins to wait is seen after it.
    After `stop` the process has `stop_limit_s` to end; then it ends at once, with exit code 1. A SIGHUP that comes because the
    terminal of a process started by hand was closed is passed on as SIGTERM.
    """
    arrived: SimpleQueue[int] = SimpleQueue()

    def note(number: int, _frame: object) -> None:
        arrived.put(number)

    for number in (signal.SIGHUP, *((signal.SIGTERM, signal.SIGINT) if stop is not None else ())):
        signal.signal(number, note)
    had_terminal = _has_terminal()

    def work() -> None:
        while True:
            number = arrived.get()
            if number == signal.SIGHUP and had_terminal and not _has_terminal():
                os.kill(os.getpid(), signal.SIGTERM)
            elif number == signal.SIGHUP:
                reload()
            elif stop is not None:
                _end_after(stop_limit_s)
                stop()

    threading.Thread(target=work, name="signals", daemon=True).start()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _end_after(limit_s: float) -> None:
    def give_up() -> None:
        log.error(
            "process.killed_itself", reason=f"the stop took longer than {limit_s:.0f} s",
            next="at the next start uncommitted events are read again and a run continues",
        )  # fmt: skip
        os._exit(1)

    watchdog = threading.Timer(limit_s, give_up)
    watchdog.daemon = True
    watchdog.start()
