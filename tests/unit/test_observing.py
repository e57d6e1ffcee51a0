"""What the daemon counts now and then for its metrics, over a real registry and real files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.settings import Settings, load_settings
from consumers.dead_letters.store import DeadLetters
from consumers.defence.views import Defence
from consumers.log.protocols import Position, RawEvent
from daemon.process import last_backup
from daemon.telemetry.gauges import Observer
from daemon.telemetry.metrics import DaemonMetrics
from daemon.training.due.trigger_input import Evidence
from registry import promotion
from registry.store import Registry
from tests.support.registries import TASK, add_version

BACKED_UP_AT = datetime(2026, 5, 1, tzinfo=UTC)


class Observed:
    def __init__(self, settings: Settings, stack: ExitStack) -> None:
        self.metrics = DaemonMetrics()
        self.registry = stack.enter_context(Registry.open(settings.registry_url))
        self.dead_letters = DeadLetters(settings.dead_letter_file)
        stack.callback(self.dead_letters.close)
        self.tasks = {TASK}
        self.observer = Observer(
            self.metrics, registry=self.registry, dead_letters=self.dead_letters, tasks=lambda: self.tasks,
            data_dir=settings.data_dir,
        )  # fmt: skip

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    def run(self, key: str, *states: str) -> None:
        run = self.registry.runs.create(TASK, key, "a reason", full=True)
        for state in states:
            self.registry.runs.update(run.run_id, state=state)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path)


@pytest.fixture
def observed(settings: Settings) -> Iterator[Observed]:
    with ExitStack() as stack:
        yield Observed(settings, stack)


def test_before_anything_has_happened_every_figure_is_there(observed: Observed) -> None:
    assert observed.observer.step() > 0
    for name in ("perennial_outbox_pending", "perennial_dead_letters", "perennial_backup_last_timestamp_seconds"):
        assert observed.value(name) == 0
    for name in (
        "perennial_champion_generation",
        "perennial_run_last_decided_timestamp_seconds",
        "perennial_runs_failed_in_a_row",
    ):
        assert observed.value(name, task=TASK) == 0


def test_what_is_in_the_files_is_shown(observed: Observed, settings: Settings) -> None:
    observed.run("k1", "decided")
    observed.run("k2", "failed")
    observed.run("k3", "failed")
    observed.run("k4", "training")
    version = add_version(observed.registry)
    promotion.promote(observed.registry, TASK, version.name, expected=None, actor="test", reason="test")
    for offset in range(3):
        raw = RawEvent(Position("t", 0, offset), b"{", None, (), datetime.now(UTC))
        observed.dead_letters.add(raw, "not JSON")
    last_backup.write(settings.data_dir, settings.data_dir / "somewhere", BACKED_UP_AT)
    observed.observer.step()
    assert observed.value("perennial_runs_failed_in_a_row", task=TASK) == 2
    ended, decided = (observed.value(f"perennial_run_last_{what}_timestamp_seconds", task=TASK) for what in ("end", "decided"))
    assert 0 < decided < ended
    assert observed.value("perennial_champion_generation", task=TASK) == 1
    assert observed.value("perennial_outbox_pending") == 1, "the promotion is to be announced"
    assert observed.value("perennial_dead_letters") == 3
    assert observed.value("perennial_backup_last_timestamp_seconds") == BACKED_UP_AT.timestamp()
    observed.registry.outbox.mark_sent([row.id for row in observed.registry.outbox.pending()])
    observed.run("k5", "decided")
    observed.observer.step()
    assert observed.value("perennial_outbox_pending") == 0
    assert observed.value("perennial_runs_failed_in_a_row", task=TASK) == 0


def test_of_a_task_whose_file_was_removed_nothing_is_shown_whoever_showed_it(observed: Observed) -> None:
    def shown() -> set[str]:
        return {
            sample.name for family in observed.metrics.registry.collect() for sample in family.samples if "task" in sample.labels
        }

    run = observed.registry.runs.create(TASK, "k1", "a reason", full=True)
    evidence = Evidence(
        new_examples=1, new_weight=1.0, train_examples=1, oldest_new_at=None, has_champion=False, running=False,
        first_run_at=None, last_run_at=None, used_keys=frozenset(), newest_seq=1,
    )  # fmt: skip
    ended = observed.registry.runs.update(
        run.run_id,
        state="decided",
        verdict="keep",
        started_at=BACKED_UP_AT,
        comparison={"champion_score": 0.5, "candidate_score": 0.6},
    )

    def show_all() -> None:
        observed.metrics.counted(TASK, new=evidence.new_examples, train=evidence.train_examples)
        observed.metrics.defended(TASK, Defence({"effective": 1}, ()))
        observed.metrics.run_ended(ended)

    show_all()
    observed.observer.step()
    assert {
        "perennial_runs_total",
        "perennial_run_seconds_count",
        "perennial_label_flip_alarms",
        "perennial_run_score",
    } <= shown()
    observed.tasks.clear()
    observed.observer.step()
    assert shown() == set()
    show_all()
    observed.observer.step()
    assert shown() == set(), "a run that was under way ended after its task was removed"
    observed.tasks.add(TASK)
    observed.observer.step()
    assert observed.value("perennial_runs_failed_in_a_row", task=TASK) == 0, "its file was put back"


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"completed_at": 7})])
def test_an_unreadable_note_of_a_backup_counts_as_none(tmp_path: Path, content: str) -> None:
    assert last_backup.last_backup_at(tmp_path) is None
    (tmp_path / last_backup.FILE_NAME).write_text(content)
    assert last_backup.last_backup_at(tmp_path) is None
