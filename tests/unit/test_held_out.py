"""The share that a task holds out follows from its last comparison and from the test rows there are now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from config.errors import RetryError
from config.settings import load_settings
from config.tasks import TaskSpec, load_tasks
from consumers.buffer.reader import BufferReader
from daemon.training.preparing.held_out import Shares, share_of
from registry.runs import Verdict
from registry.store import Registry

SETTINGS = load_settings()
TASK = load_tasks(SETTINGS.tasks_folder)["news-topics"]


@dataclass
class Counted:
    test_in_window: int


class Rows:
    """A buffer that holds so many test rows."""

    def __init__(self, test_rows: int) -> None:
        self.test_rows = test_rows
        self.fails = False

    def counts(self, task: str, *, after_seq: int = 0) -> Counted:
        del task, after_seq
        if self.fails:
            raise RetryError
        return Counted(self.test_rows)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry.open(f"sqlite:///{tmp_path}/registry.db") as opened:
        yield opened


def decided(registry: Registry, verdict: Verdict, *, rows: int, required: int, key: str = "k") -> None:
    run = registry.runs.create(TASK.name, key, "asked", full=False)
    assert run is not None
    comparison: dict[str, Any] = {"rows": rows, "required_rows": required}
    registry.runs.update(run.run_id, state="decided", verdict=verdict, comparison=comparison)


def share(registry: Registry, test_rows: int, task: TaskSpec = TASK) -> tuple[float, int]:
    found = share_of(task, registry, cast("BufferReader", Rows(test_rows)), SETTINGS.enrich)
    return found.share, found.needed


def test_until_a_comparison_had_too_few_rows_the_share_is_as_configured(registry: Registry) -> None:
    assert share(registry, 0) == (0.2, 0)
    decided(registry, "keep", rows=210, required=900)
    assert share(registry, 0) == (0.2, 0)


def test_it_is_raised_until_there_are_as_many_rows_as_the_comparison_needed(registry: Registry) -> None:
    decided(registry, "insufficient_evidence", rows=212, required=527)
    assert share(registry, 212) == (0.4, 527)
    assert share(registry, 526) == (0.4, 527)
    assert share(registry, 527) == (0.2, 527)
    decided(registry, "promote", rows=540, required=400, key="later")
    assert share(registry, 212) == (0.2, 0)


def test_below_the_minimum_of_the_policy_the_minimum_is_what_is_needed(registry: Registry) -> None:
    decided(registry, "insufficient_evidence", rows=12, required=3)
    assert share(registry, 12) == (0.4, TASK.promotion.min_test_examples)


def test_what_lacks_no_rows_raises_nothing(registry: Registry) -> None:
    decided(registry, "insufficient_evidence", rows=300, required=250)
    assert share(registry, 300) == (0.2, 250)


def test_articles_are_held_out_as_the_task_that_lacks_most_asks_and_a_registry_that_is_away_stops_nobody(
    registry: Registry,
) -> None:
    decided(registry, "insufficient_evidence", rows=212, required=527)
    rows, other = Rows(212), TASK.model_copy(update={"name": "other"})
    tasks = {TASK.name: TASK, "other": other}
    shares = Shares(lambda: tasks, registry, cast("BufferReader", rows), SETTINGS.enrich)
    assert (shares(TASK.name), shares("other"), shares(None), shares("unknown")) == (0.4, 0.2, 0.4, 0.2)
    away = Rows(0)
    away.fails = True
    assert Shares(lambda: tasks, registry, cast("BufferReader", away), SETTINGS.enrich)(None) == 0.2
    off = SETTINGS.enrich.model_copy(update={"max_test_fraction": 0.1})
    assert Shares(lambda: tasks, registry, cast("BufferReader", rows), off)(TASK.name) == 0.2
