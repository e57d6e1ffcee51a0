"""A backup taken in the middle of an erasure, put back elsewhere: the erasure comes to its end there, and nothing is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.errors import RetryError
from config.settings import load_settings
from consumers.buffer.writer import BufferWriter
from daemon.operations.backups import take as taking
from daemon.operations.backups.restore import restore
from daemon.operations.backups.take import take
from registry.removal import erasure
from tests.support.cycles import NAME, MadeUpRunner, worse
from tests.support.markers import places_of
from tests.support.towns import KEEP, WORD, Town

pytestmark = pytest.mark.filterwarnings("ignore:optimize:UserWarning")

Middle = Callable[[Town, pytest.MonkeyPatch], None]


def only_asked(_town: Town, _patch: pytest.MonkeyPatch) -> None:
    """The request is recorded, no more."""


def rows_gone(town: Town, patch: pytest.MonkeyPatch) -> None:
    """The tables are clean, and nothing is marked yet."""

    def fails(*_: Any, **__: Any) -> None:
        message = "the registry did not answer"
        raise RetryError(message)

    with patch.context() as fault:
        fault.setattr(erasure, "mark_versions", fails)
        with pytest.raises(RetryError):
            town.eraser.step()
    assert not town.buffer.holds_erased()


def removed(town: Town, _patch: pytest.MonkeyPatch) -> None:
    """The bytes wait for the readers' hour."""
    assert town.work().state == "removed from tables"


def between(step: str) -> Middle:
    """All of it is removed after this step of the backup, and before the next."""

    def middle(town: Town, patch: pytest.MonkeyPatch) -> None:
        copy = getattr(taking._Attempt, step)

        def then_work(attempt: taking._Attempt, *arguments: Any) -> Any:
            copied = copy(attempt, *arguments)
            assert town.work().state == "removed from tables"
            return copied

        patch.setattr(taking._Attempt, step, then_work)

    middle.__name__ = f"after{step}"
    return middle


STEPS = ("_positions", "_copy_registry", "_copy_buffer", "_copy_erasures", "_copy_others", "_copy_artifacts", "_copy_runs")


@pytest.mark.parametrize("middle", [only_asked, rows_gone, removed, *map(between, STEPS)], ids=lambda one: one.__name__)
def test_after_a_restore_it_comes_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, middle: Middle) -> None:
    # LanceDB goes by the machine's clock, which cannot be moved; when it is asked goes by ours.
    purge = BufferWriter.purge
    monkeypatch.setattr(BufferWriter, "purge", lambda self, keep: purge(self, keep - KEEP))
    with Town(tmp_path / "first") as town:
        town.champion_with_feedback()
        town.ask_to_erase()
        middle(town, monkeypatch)
        take(town.settings, tmp_path / "backup")
        town.registry.lease.release("test:1", town.token)
    restore(load_settings(data_dir=tmp_path / "second" / "data"), tmp_path / "backup")
    with Town(tmp_path / "second") as again:
        assert again.work().state == "removed from tables"
        assert again.registry.versions.get(f"{NAME}/v1").affected_at is not None, "the champion learnt from it"
        assert not again.buffer.holds_erased()
        assert again.work(hours=1.01).state == "retrain queued"
        assert isinstance(again.runner, MadeUpRunner)
        again.runner.train = worse
        before = again.buffer.table_counts()
        again.take_in(again.feedback(), again.feedback("f-late"))
        assert {**again.buffer.table_counts(), "requests": 0} == {**before, "requests": 0}, "it stays refused"
        again.cycle.step()
        again.work()
        assert again.work(hours=1.01).state == "done"
        assert places_of([WORD, "anna"], again.settings.data_dir) == {}
