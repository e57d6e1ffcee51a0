"""Processes that carry out a run in a copy of `FOLDER/base` and kill themselves at one step of it: `cycle_victim.py FOLDER`."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from consumers.buffer.writer import BufferWriter

sys.path.insert(0, str(Path(__file__).parents[2]))

from registry.database.engine import Database
from tests.support.cycles import MadeUpRunner, PassesAll, World, better, task
from tests.support.failpoints import Failpoint, killed_at_every_step


def prepare(base: Path) -> None:
    """Leave a champion, and enough that is new for a second run."""
    with World(base, task(), train=better) as world:
        world.grow(10)
        world.cycle.step()
        world.grow(20)


def cycle(folder: Path, number: int, failpoint: Failpoint) -> None:
    """Carry out the run that is due."""
    copy = folder / f"killed-{number}"
    shutil.copytree(folder / "base", copy)
    with World(copy, task(), train=better) as world:
        # The freeze, the training, the sandbox, every file that gets its name, and every transaction of the registry.
        for owner, name in (
            (BufferWriter, "freeze"),
            (MadeUpRunner, "run"),
            (PassesAll, "check"),
            (os, "rename"),
            (os, "replace"),
            (Database, "write"),
        ):
            failpoint.before(owner, name)
        world.cycle.step()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    # In a child of its own: this process must not have used LanceDB before it forks.
    if (child := os.fork()) == 0:
        prepare(folder / "base")
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit("the base could not be made")
    killed_at_every_step(cycle, folder)
