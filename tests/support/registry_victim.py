"""Processes that publish or move the alias and kill themselves (SIGKILL) at one step of it; the steps are wrapped here."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

sys.path.insert(0, str(Path(__file__).parents[2]))

import sqlalchemy as sa

from registry import promotion
from registry.artifacts import Artifacts
from registry.promotion import ChampionMovedError
from registry.store import Registry
from tests.support.registries import TASK

P = ParamSpec("P")
R = TypeVar("R")


class Failpoint:
    """Counts steps and kills the process when the chosen one is reached; a wrapped call is two, its begin and its end."""

    def __init__(self, kill_at: int) -> None:
        self._kill_at = kill_at
        self._reached = 0

    def step(self) -> None:
        if self._reached == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self._reached += 1

    def wrap(self, function: Callable[P, R]) -> Callable[P, R]:
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            self.step()
            result = function(*args, **kwargs)
            self.step()
            return result

        return wrapped


def publish(folder: Path, number: int, failpoint: Failpoint) -> None:
    for name in ("mkdir", "fsync", "rename", "replace"):
        setattr(os, name, failpoint.wrap(getattr(os, name)))
    Artifacts(folder / f"killed-{number}").publish(TASK, 1, folder / "model")


def promote(folder: Path, number: int, failpoint: Failpoint) -> None:
    copy = folder / f"killed-{number}.db"
    shutil.copy(folder / "base.db", copy)
    with Registry.open(f"sqlite:///{copy}") as registry:
        engine = registry.database._engine
        sa.event.listen(engine, "before_cursor_execute", lambda *_: failpoint.step())
        sa.event.listen(engine, "after_cursor_execute", lambda *_: failpoint.step())
        sa.event.listen(engine, "commit", lambda _: failpoint.step())
        promotion.promote(registry, TASK, f"{TASK}/v2", expected=f"{TASK}/v1", actor="victim", reason="better")
        failpoint.step()


def killed_at_every_step(act: Callable[[Path, int, Failpoint], None], folder: Path) -> None:
    """Run `act` in one child per step until a child gets through; say how many were killed."""
    for number in itertools.count():
        child = os.fork()
        if child == 0:
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


def swing(url: str) -> None:
    """Move the alias to and fro until somebody kills this process; say so after the first move."""
    with Registry.open(url) as registry:
        for number in itertools.count():
            champion = registry.versions.champion(TASK)
            current = champion.version if champion else None
            other = f"{TASK}/v1" if current != f"{TASK}/v1" else f"{TASK}/v2"
            try:
                promotion.promote(registry, TASK, other, expected=current, actor="victim", reason="to and fro")
            except ChampionMovedError:
                continue
            if number == 0:
                say("moved")


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    what, where = sys.argv[1:]
    if what == "swing":
        swing(where)
    killed_at_every_step({"publish": publish, "promote": promote}[what], Path(where))
