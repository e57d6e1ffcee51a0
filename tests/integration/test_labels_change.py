"""Labels change by events: rows follow, splits wait at the desk, and an undoing brings all back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from config.errors import UserError
from config.settings import Settings, environment_of, load_settings
from config.task_files.labels.label_changes import Change
from consumers.buffer.writer import BufferWriter
from consumers.events.schemas import TaskSchema
from consumers.log.open import open_event_log
from consumers.training_set.snapshot import TrainingSet
from daemon.cli.main import app
from daemon.labelling import label_changes as operations
from daemon.upkeep.asked import told
from daemon.views.task import labels as views
from tests.support.buffers import NOW, TOPICS, label, opened, stored, take

OPEN = TOPICS.model_copy(update={"labels": "open", "label_names": (), "new_label_min_examples": 1})
TASKS = {OPEN.name: OPEN}
ROWS = {"g-1": "sport", "g-2": "sport", "g-3": "economy", "g-4": "gossip"}


def schema(event_id: str, *, minutes: float, **does: Any) -> TaskSchema:
    return TaskSchema(event_id=event_id, occurred_at=NOW + timedelta(minutes=minutes), task=OPEN.name, **does)


def filled(buffer: BufferWriter, *changes: TaskSchema) -> None:
    take(buffer, *(label(name, f"A text about {name}", said, hours=4) for name, said in ROWS.items()))
    buffer.insert(stored(*changes, offset=50))


def frozen(buffer: BufferWriter, folder: Path, name: str = "set") -> TrainingSet:
    return buffer.freeze(OPEN, run_id=name, folder=folder / name, learnt=frozenset())


def learnt(found: TrainingSet) -> Mapping[str, str]:
    rows = found.rows("train", embeddings=False)
    return {row["example_id"]: json.loads(row["target"])["label"] for row in rows.select(["example_id", "target"]).to_pylist()}


def test_retired_and_split_labels_leave_training_and_the_task_says_so(tmp_path: Path) -> None:
    with opened(tmp_path / "buffer", tasks=TASKS) as buffer:
        filled(
            buffer,
            schema("s-1", minutes=1, retired=["gossip"]),
            schema("s-2", minutes=2, splits={"sport": ["football", "tennis"]}),
        )
        found = frozen(buffer, tmp_path)
        assert learnt(found) == {"g-3": "economy"}
        assert found.manifest.gone == ("gossip", "sport")
        spec = found.manifest.in_force(OPEN)
        assert spec.label_names == ("football", "tennis")
        assert not spec.teaches("sport")
        assert sorted(found.manifest.left_out.values()) == [1, 2]


def test_a_split_waits_at_the_desk_until_somebody_says_which_part(tmp_path: Path) -> None:
    with opened(tmp_path / "buffer", tasks=TASKS) as buffer:
        filled(buffer, schema("s-1", minutes=1, splits={"sport": ["football", "tennis"]}))
        pool, names = buffer.asked_of_people(OPEN, audit_per_week=0)
        assert {offer.row_id for offer in pool.changed} == {"g-1", "g-2"}
        assert names == ["football", "tennis", "economy", "gossip"]
        take(buffer, label("desk-1", "A text about g-1", "tennis", hours=4, annotator="anna"), offset=100)
    with opened(tmp_path / "buffer", tasks=TASKS) as buffer:
        pool, _names = buffer.asked_of_people(OPEN, audit_per_week=0)
        assert [offer.row_id for offer in pool.changed] == ["g-2"]
        assert learnt(frozen(buffer, tmp_path)) == {"desk-1": "tennis", "g-3": "economy", "g-4": "gossip"}


def test_what_is_undone_trains_as_before(tmp_path: Path) -> None:
    with opened(tmp_path / "buffer", tasks=TASKS) as buffer:
        filled(
            buffer, schema("s-1", minutes=1, renames={"sport": "games"}), schema("s-2", minutes=2, retired=["economy"]),
            schema("s-3", minutes=3, undoes="s-1"),
        )  # fmt: skip
        assert learnt(frozen(buffer, tmp_path)) == {"g-1": "sport", "g-2": "sport", "g-4": "gossip"}


def test_the_view_tells_labels_counts_and_history(tmp_path: Path) -> None:
    with opened(tmp_path / "buffer", tasks=TASKS) as buffer:
        filled(
            buffer, schema("s-1", minutes=1, renames={"sport": "games"}, reason="as readers say"),
            schema("s-2", minutes=2, retired=["gossip"]), schema("s-3", minutes=3, undoes="s-2"),
            schema("s-4", minutes=4, splits={"economy": ["markets", "jobs"]}),
        )  # fmt: skip
        found = views.labels(OPEN, buffer)
    told_of = {one.name: (one.state, dict(one.rows), one.was, one.into) for one in found.labels}
    assert told_of == {
        "games": ("in use", {"train": 2}, ("sport",), ()),
        "gossip": ("in use", {"train": 1}, (), ()),
        "jobs": ("declared", {}, (), ()),
        "markets": ("declared", {}, (), ()),
        "economy": ("split", {"train": 1}, (), ("markets", "jobs")),
    }
    assert [(one.change_id, one.undone, one.reason) for one in found.changes] == [
        ("s-1", False, "as readers say"), ("s-2", True, ""), ("s-3", False, ""), ("s-4", False, ""),
    ]  # fmt: skip


def test_what_apps_are_told_of_a_change() -> None:
    history = [Change("s-1", NOW, by="anna", renames={"a": "b", "c": "b"}), Change("s-2", NOW, added=("news",))]
    event = told(OPEN, history[1], history)
    assert (event["type"], event["does"], event["labels"]) == ("labels.changed", ["add news"], ["news"])
    assert told(OPEN, history[0], history[:1])["does"] == ["merge a into b", "merge c into b"]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "topics.yaml").write_text(
        "name: news-topics\nkind: classification\nbackend: transformer\nbase_model: minilm\nlabels: open\n"
        "label_names: [economy, sport]\npromotion: {metric: macro_f1}\n"
    )
    (tasks / "closed.yaml").write_text(
        "name: desks\nkind: classification\nbackend: transformer\nbase_model: minilm\nlabels: closed\n"
        "label_names: [economy, sport]\npromotion: {metric: macro_f1}\n"
    )
    found = load_settings(data_dir=tmp_path / "data", tasks_dir=str(tasks))
    for name, value in environment_of(found).items():
        monkeypatch.setenv(name, value)
    return found


def published(settings: Settings) -> list[dict[str, Any]]:
    log = open_event_log(settings)
    try:
        source = log.source("test", ["perennial.feedback"])
        try:
            return [json.loads(record.value) for record in source.poll(timeout_s=0.1, max_events=100)]
        finally:
            source.close()
    finally:
        log.close()


def test_the_command_publishes_a_change_that_makes_sense(settings: Settings) -> None:
    asked = ["labels", "news-topics", "--merge", "economy,sport=news", "--why", "one desk", "--json"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    [event] = published(settings)
    assert event["type"] == "task_schema"
    assert event["event_id"] == json.loads(done.stdout)["change_id"]
    assert event["renames"] == {"economy": "news", "sport": "news"}
    assert event["reason"] == "one desk"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rename", "sport=sport"], "itself"),
        (["--rename", "sprot=sports"], "no row carries"),
        (["--rename", "sport"], "write e.g."),
        (["--split", "sport=tennis"], "at least two"),
        (["--undo", "nothing"], "no change"),
        (["--undo", "x", "--retire", "sport"], "goes alone"),
        (["--retire", " "], "is no label"),
    ],
)
def test_the_command_refuses_what_makes_none(settings: Settings, options: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["labels", "news-topics", *options])
    assert isinstance(done.exception, UserError)
    assert said in str(done.exception)
    assert not settings.event_log_file.exists()


def test_a_closed_task_wants_new_names_in_its_file(settings: Settings) -> None:
    with pytest.raises(UserError, match="label_names"):
        operations.change(settings, "desks", Change("", renames={"sport": "sports"}), by="test")
    with pytest.raises(UserError, match="is not defined"):
        operations.change(settings, "nothing", Change("", retired=("sport",)), by="test")


def test_reading_needs_no_buffer(settings: Settings) -> None:
    found = operations.look(settings, "news-topics")
    assert [(one.name, one.state) for one in found.labels] == [("economy", "declared"), ("sport", "declared")]
