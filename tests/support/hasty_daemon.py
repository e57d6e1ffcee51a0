"""`perennial`, for which the hour that other readers have is two seconds: `hasty_daemon.py [KILL_AT] run --serve`.

With KILL_AT it dies, as in a crash, before the so-manieth thing that an erasure writes.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from consumers import embedded_erasing
from consumers.dead_letters import DeadLetters
from consumers.erasures import Erasures
from consumers.lance_tables import Tables
from daemon import cli, erased_runs, erasure
from daemon.erasure import Eraser
from daemon.serving.accepted import AcceptedFeedback
from registry import erasing

KEEP = timedelta(seconds=2)
WRITES: tuple[tuple[Any, str], ...] = (
    (Erasures, "derive"), (Erasures, "add_work"), (Erasures, "drop_work"), (Erasures, "add_positions"),
    (Erasures, "drop_positions"), (Erasures, "rewritten"), (Erasures, "reached"), (Erasures, "vacuum"),
    (Tables, "delete_rows"), (Tables, "purge"), (embedded_erasing, "empty"), (embedded_erasing, "compact"),
    (DeadLetters, "erase"), (DeadLetters, "compact"), (AcceptedFeedback, "forget"), (AcceptedFeedback, "compact"),
    (erasing, "mark_versions"), (erasing, "mark_runs"), (erasing, "collect"), (erased_runs, "remove"), (shutil, "rmtree"),
)  # fmt: skip


def hurry() -> None:
    """Shorten the hour."""
    wired = Eraser.__init__

    def hasty(self: Eraser, **parts: Any) -> None:
        wired(self, **parts)
        self._keep = KEEP

    Eraser.__init__ = hasty  # type: ignore[method-assign]  # the point of this file
    erasure._PURGE_AGAIN_S = 0.5


def die_before(write: int) -> None:
    """Kill the process at the begin of the `write`-th write of an erasure."""
    count = 0

    def counted(function: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == write:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return wrapped

    for owner, name in WRITES:
        setattr(owner, name, counted(getattr(owner, name)))


if __name__ == "__main__":
    hurry()
    if sys.argv[1].isdecimal():
        die_before(int(sys.argv.pop(1)))
    cli.main()
