"""Processes that publish or move the alias and kill themselves (SIGKILL) at one step of it; the steps are wrapped here."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import sqlalchemy as sa

from registry import promotion
from registry.artifacts.local import LocalArtifacts
from registry.promotion import ChampionMovedError
from registry.store import Registry
from tests.support.failpoints import Failpoint, killed_at_every_step, say
from tests.support.registries import TASK


def publish(folder: Path, number: int, failpoint: Failpoint) -> None:
    for name in ("mkdir", "fsync", "rename", "replace"):
        setattr(os, name, failpoint.wrap(getattr(os, name)))
    LocalArtifacts(folder / f"killed-{number}").publish(TASK, 1, folder / "model")


def publish_another(folder: Path, number: int, failpoint: Failpoint) -> None:
    """Publish a version that has a file in common with one that is there."""
    artifacts = LocalArtifacts(folder / f"killed-{number}")
    artifacts.publish(TASK, 1, folder / "model")
    for name in ("mkdir", "fsync", "rename", "replace", "link", "unlink"):
        setattr(os, name, failpoint.wrap(getattr(os, name)))
    artifacts.publish(TASK, 2, folder / "other")


def promote(folder: Path, number: int, failpoint: Failpoint) -> None:
    copy = folder / f"killed-{number}.db"
    shutil.copy(folder / "base.db", copy)
    with Registry.open(f"sqlite:///{copy}") as registry:
        engine = registry.database._engine
        sa.event.listen(engine, "before_cursor_execute", failpoint.step)
        sa.event.listen(engine, "after_cursor_execute", failpoint.step)
        sa.event.listen(engine, "commit", failpoint.step)
        promotion.promote(registry, TASK, f"{TASK}/v2", expected=f"{TASK}/v1", actor="victim", reason="better")
        failpoint.step()


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


if __name__ == "__main__":
    what, where = sys.argv[1:]
    if what == "swing":
        swing(where)
    killed_at_every_step({"publish": publish, "publish_another": publish_another, "promote": promote}[what], Path(where))
