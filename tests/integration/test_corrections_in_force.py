"""What answers by the buffer is in force in the registry, within a look, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.errors import StopError
from config.settings import Settings, load_settings
from config.tasks import TaskSpec
from consumers.defence import answering
from daemon.flow.corrections import CorrectionsTask
from daemon.process.leading import Leading
from registry.people.corrections import Correction
from registry.store import Registry
from tests.support.buffers import TASKS, TOPICS, accepted, feedback, opened, review
from tests.support.corrected import TEXT, Buffer


@dataclass
class Keeping:
    """The task over a buffer and a registry."""

    settings: Settings
    buffer: Buffer
    registry: Registry
    token: int
    tasks: Mapping[str, TaskSpec]

    def task(self, settings: Settings | None = None) -> CorrectionsTask:
        tasks = lambda: self.tasks  # noqa: E731 - one line
        return CorrectionsTask(Leading(settings or self.settings, tasks, self.buffer.writer, self.registry, self.token))

    def in_force(self) -> dict[str, str]:
        """Return the labels that answer, by event id."""
        ids = [f"f-{n}" for n in range(9)]
        return {one: found.target["label"] for one in ids if (found := self.registry.corrections.of_event(one)) is not None}


@pytest.fixture
def keeping(tmp_path: Path) -> Iterator[Keeping]:
    settings = load_settings(data_dir=tmp_path / "data")
    with opened(tmp_path / "b") as writer, Registry.open(settings.registry_url) as registry:
        token = registry.lease.acquire("test", 3600)
        assert token is not None
        yield Keeping(settings, Buffer(writer), registry, token, TASKS)


def test_a_judged_correction_is_in_force_after_one_look_and_a_rejected_one_is_not(keeping: Keeping) -> None:
    task = keeping.task()
    task.step()
    keeping.buffer.take(feedback("f-1", TEXT), accepted("r-1", "f-1"))
    task.step()
    assert keeping.in_force() == {"f-1": "economy"}
    keeping.buffer.take(review("r-2", "reject", event_ids=("f-1",)))
    task.step()
    assert keeping.in_force() == {}


def test_an_idle_look_reads_no_table(keeping: Keeping, monkeypatch: pytest.MonkeyPatch) -> None:
    keeping.buffer.take(feedback("f-1", TEXT), accepted("r-1", "f-1"))
    task = keeping.task()
    task.step()

    def read(*_asked: object) -> dict[str, Any]:
        message = "a table was read"
        raise AssertionError(message)

    monkeypatch.setattr(keeping.buffer.writer, "answering", read)
    monkeypatch.setattr(keeping.buffer.writer, "answering_versions", read)
    task.step()
    assert keeping.in_force() == {"f-1": "economy"}


def test_a_key_counts_from_its_making_to_its_end(keeping: Keeping, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.flow.corrections._KEYS_EVERY_S", 0.0)
    keeping.buffer.take(feedback("f-1", TEXT, source="key:desk"), feedback("f-2", "another", source="key:app"))
    task = keeping.task()
    task.step()
    assert keeping.in_force() == {}
    keeping.registry.api_keys.create("desk", ["feedback", "correct"])
    keeping.registry.api_keys.create("app", ["feedback", "admin"])
    task.step()
    assert keeping.in_force() == {"f-1": "economy"}
    keeping.registry.api_keys.revoke("desk")
    task.step()
    assert keeping.in_force() == {}


def test_other_task_files_count_at_the_next_look(keeping: Keeping) -> None:
    keeping.buffer.take(feedback("f-1", TEXT), accepted("r-1", "f-1"))
    task = keeping.task()
    task.step()
    off = TOPICS.model_copy(update={"feedback": TOPICS.feedback.model_copy(update={"corrections_answer": False})})
    keeping.tasks = {**TASKS, TOPICS.name: off}
    keeping.buffer.writer.use_tasks(keeping.tasks)
    task.step()
    assert keeping.in_force() == {}


def test_the_setting_turns_all_off(keeping: Keeping) -> None:
    keeping.buffer.take(feedback("f-1", TEXT), accepted("r-1", "f-1"))
    keeping.task().step()
    assert keeping.in_force() == {"f-1": "economy"}
    off = keeping.settings.model_copy(
        update={"serving": keeping.settings.serving.model_copy(update={"corrections_answer": False})}
    )
    keeping.task(off).step()
    assert keeping.in_force() == {}


def test_the_first_look_mends_what_a_crash_or_a_restored_backup_left(keeping: Keeping) -> None:
    stale = Correction("0" * 64, "f-7", {"label": "sport"}, accepted=False, examples=("f-7",))
    keeping.registry.corrections.put(TOPICS.name, [stale])
    keeping.registry.corrections.put("a-task-without-a-file", [stale])
    keeping.buffer.take(feedback("f-1", TEXT), accepted("r-1", "f-1"))
    keeping.task().step()
    assert keeping.in_force() == {"f-1": "economy"}
    assert keeping.registry.corrections.tasks() == [TOPICS.name]


def test_a_former_leader_changes_nothing(keeping: Keeping) -> None:
    keeping.buffer.take(feedback("f-1", TEXT), accepted("r-1", "f-1"))
    keeping.token -= 1
    with pytest.raises(StopError):
        keeping.task().step()
    assert keeping.in_force() == {}


def test_those_without_room_are_told_once(keeping: Keeping, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "MAX_CORRECTIONS", 2)
    ids = [f"f-{n}" for n in range(4)]
    keeping.buffer.take(*(feedback(one, f"text {one}") for one in ids), accepted("r-1", *ids))
    task = keeping.task()
    with capture_logs() as lines:
        task.step()
        keeping.buffer.take(feedback("f-5", "one more"), accepted("r-2", "f-5"))
        task.step()
    told = [line["beyond"] for line in lines if line["event"] == "corrections.no_room"]
    assert told == [2]
    assert keeping.in_force().keys() == {"f-3", "f-5"}
