"""Processes that kill themselves (SIGKILL) at one step of something, for every step of it.

The steps are put around the real code here; the code under test knows nothing of them.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

REPOSITORY = Path(__file__).parents[2]
_STUCK_S = 60


class Failpoint:
    """Counts steps and kills the process when the chosen one is reached."""

    def __init__(self, kill_at: int) -> None:
        self._kill_at = kill_at
        self._reached = 0

    def step(self, *_ignored: object) -> None:
        # Several threads may count; one more is near enough.
        if self._reached >= self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self._reached += 1

    def wrap(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return the function with two steps, its begin and its end."""

        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            self.step()
            result = function(*args, **kwargs)
            self.step()
            return result

        return wrapped

    def before(self, owner: Any, name: str) -> None:
        """Make every call of a method a step: nothing of it is done yet, and everything before it is."""
        function = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.step()
            return function(*args, **kwargs)

        setattr(owner, name, wrapped)


def killed_at_every_step(act: Callable[[Path, int, Failpoint], None], folder: Path) -> None:
    """Run `act` in one child per step until a child gets through; say how many were killed.

    The children are forked, which spares each the imports: the parent must not have used LanceDB or torch.
    """
    for number in itertools.count():
        child = os.fork()
        if child == 0:
            signal.alarm(_STUCK_S)
            try:
                act(folder, number, Failpoint(number))
            except BaseException:  # noqa: BLE001 - the edge of a process: whatever it is, it is printed and ends it
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code != -signal.SIGKILL:
            say(number)
            sys.exit(code)


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def kill_at_every_step(victim: Path, *arguments: str | Path) -> int:
    """Return how many processes were killed, one per step; the last one, which got through, comes on top."""
    victims = subprocess.run(
        [sys.executable, victim, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300
    )
    assert victims.returncode == 0, victims.stderr
    return int(victims.stdout.split()[-1])
