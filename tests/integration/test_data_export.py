"""Labelled rows leave as files that `perennial import` reads back: the same rows, sides and documents; and never half a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from config.errors import UserError
from config.settings import Settings, environment_of, load_settings
from config.tasks import TaskSpec
from consumers.erasure.requests import Erasures
from consumers.events.schemas import Erase, Label
from consumers.formats.importing import plan
from consumers.formats.written import docbin, parquet
from consumers.training_set.labelled import Wanted
from daemon.cli.main import app
from daemon.operations.handing.data import exporting
from daemon.operations.handing.data.exporting import export
from tests.support.buffers import NOW, TASKS, feedback, label, opened, renaming, spans, stored, take

ALL = Wanted()
SIDE_OF = {"gold-1": "test", "gold-4": "test"}
REGRESSION: Mapping[str, Any] = {
    "name": "filter-scores", "kind": "regression", "backend": "transformer", "base_model": "minilm",
    "dimensions": [{"name": "impact", "low": 0, "high": 10}, {"name": "local", "low": 0, "high": 1}],
    "promotion": {"metric": "mae", "min_improvement": 0.05},
}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path / "data")


def side(row: Any) -> str:
    return "anchor" if row.anchor else SIDE_OF.get(row.row_id, "train")


def topics(settings: Settings) -> list[Label]:
    events = [
        label("gold-1", "Rates rise", "economy", hours=5, article_id="tag:a,1", document_id="d-1"),
        label("gold-2", "Städerna växer &amp; <b>blir</b> fler", "economy", hours=4, origin="import"),
        label("gold-3", "Cup final tonight", "sport", hours=3, anchor=True),
        label("gold-4", "A second\n\nparagraph, “quoted”", "sport", hours=2, article_id="a-4"),
    ]
    with opened(settings.buffer_dir) as buffer:
        take(buffer, *events, feedback("said-1", "Users say so", "sport"), split=side)
    return events


def entities(settings: Settings) -> list[Label]:
    events = [
        spans("gold-1", "Anna Lind met the ECB.", (0, 9, "PERSON"), (18, 21, "ORG"), hours=3),
        spans("gold-2", "Nobody is named here", hours=2),
        spans("gold-3", "In (Oslo)with ECB", (4, 8, "ORG"), partial=True, hours=1),
    ]
    with opened(settings.buffer_dir) as buffer:
        take(buffer, *events)
    return events


def read(path: Path, task: TaskSpec) -> list[Label]:
    found = list(plan(path, task, clock=lambda: NOW + timedelta(days=1)).events())
    assert all(isinstance(one, Label) for one in found), found
    return found  # type: ignore[return-value]  # just asserted


def told(events: list[Label]) -> list[tuple[Any, ...]]:
    """What must come back of a row, whichever file it was in."""
    rows = [
        (one.text, json.dumps(dict(one.target) | {"partial": bool(one.target.get("partial"))}, sort_keys=True), one.anchor,
         one.document_id, one.article_id, one.occurred_at)
        for one in events
    ]  # fmt: skip
    return sorted(rows, key=str)


NAMES = {"jsonl": "rows.jsonl", "parquet": "rows.parquet", "hf": "rows", "docbin": "rows-spacy"}


@pytest.mark.parametrize("as_format", NAMES)
def test_labels_of_texts_come_back_as_they_were(settings: Settings, tmp_path: Path, as_format: str) -> None:
    events = topics(settings)
    found = export(settings, "news-topics", tmp_path / NAMES[as_format], as_format=as_format, wanted=ALL)
    assert dict(found.counts.sides) == {"test": 2, "train": 1, "anchor": 1}
    assert found.counts.left_out == {"feedback of users": 1}
    assert told(read(found.path, TASKS["news-topics"])) == told(events)


@pytest.mark.parametrize("as_format", NAMES)
def test_entities_come_back_as_they_were(settings: Settings, tmp_path: Path, as_format: str) -> None:
    events = entities(settings)
    found = export(settings, "news-entities", tmp_path / NAMES[as_format], as_format=as_format, wanted=ALL)
    assert told(read(found.path, TASKS["news-entities"])) == told(events)


@pytest.mark.parametrize("as_format", ["jsonl", "parquet", "hf"])
def test_numbers_come_back_as_they_were(
    settings: Settings, tmp_path: Path, as_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = TaskSpec.model_validate(REGRESSION)
    monkeypatch.setattr(exporting, "load_tasks", lambda _folder: {task.name: task})
    said = [{"impact": 7.5, "local": 0.25}, {"impact": 1.0}]
    events = [label(f"n-{at}", f"Text {at}", task=task.name, target={"values": one}) for at, one in enumerate(said)]
    with opened(settings.buffer_dir, tasks={task.name: task}) as buffer:
        take(buffer, *events)
    found = export(settings, task.name, tmp_path / NAMES[as_format], as_format=as_format, wanted=ALL)
    assert told(read(found.path, task)) == told(events)
    with pytest.raises(UserError, match="spaCy"):
        export(settings, task.name, tmp_path / "other", as_format="docbin", wanted=ALL)


def test_a_folder_for_the_hub_names_its_parts_and_labels(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics(settings)
    monkeypatch.setattr(parquet, "ROWS_PER_FILE", 1)
    found = export(settings, "news-topics", tmp_path / "set", as_format=None, wanted=ALL)
    assert found.format == "hf"
    names = [path.name for path in parquet.files_of(found.path)]
    assert names == [
        "anchor-00000-of-00001.parquet", "test-00000-of-00002.parquet", "test-00001-of-00002.parquet",
        "train-00000-of-00001.parquet",
    ]  # fmt: skip
    stored_labels = pq.read_table(found.path / "data" / names[0])
    features = json.loads(stored_labels.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["label"]["names"] == ["economy", "sport"]
    assert stored_labels["label"].to_pylist() == [1]
    card = (found.path / "README.md").read_text(encoding="utf-8")
    assert "- split: anchor" in card
    assert "| sport | 2 |" in card
    assert len(read(found.path, TASKS["news-topics"])) == 4


def test_spacy_files_are_cut_and_hold_every_label_of_a_text(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spacy.tokens import DocBin  # noqa: PLC0415 - heavy
    from spacy.vocab import Vocab  # noqa: PLC0415 - heavy

    topics(settings)
    monkeypatch.setattr(docbin, "TEXTS_PER_FILE", 1)
    found = export(settings, "news-topics", tmp_path / "set", as_format="docbin", wanted=ALL)
    files = sorted(path.relative_to(found.path).as_posix() for path in found.path.rglob("*.spacy"))
    assert files == ["anchor/00000.spacy", "test/00000.spacy", "test/00001.spacy", "train/00000.spacy"]
    [document] = DocBin().from_disk(found.path / files[0]).get_docs(Vocab())
    assert document.cats == {"economy": 0.0, "sport": 1.0}


def test_the_same_rows_give_the_same_bytes(settings: Settings, tmp_path: Path) -> None:
    topics(settings)
    for name in ("one", "two"):
        export(settings, "news-topics", tmp_path / f"{name}.jsonl", as_format=None, wanted=ALL)
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


def test_names_in_force_and_only_what_was_asked_for(settings: Settings, tmp_path: Path) -> None:
    topics(settings)
    with opened(settings.buffer_dir) as buffer:
        buffer.insert(stored(renaming("s-1", sport="business"), offset=100))
    found = export(settings, "news-topics", tmp_path / "rows.jsonl", as_format=None, wanted=Wanted(("test",), feedback=True))
    rows = [json.loads(line) for line in found.path.read_text(encoding="utf-8").splitlines()]
    assert [(row["side"], row["label"]) for row in rows] == [("test", "economy"), ("test", "business")]
    assert sum(found.counts.left_out.values()) == 3


def test_feedback_in_effect_comes_when_it_is_asked_for(settings: Settings, tmp_path: Path) -> None:
    topics(settings)
    found = export(settings, "news-topics", tmp_path / "rows.jsonl", as_format=None, wanted=Wanted(feedback=True))
    assert found.counts.origins["feedback"] == 1
    assert "user" not in found.path.read_text(encoding="utf-8")


def test_what_is_being_erased_is_in_no_file(settings: Settings, tmp_path: Path) -> None:
    topics(settings)
    erasures = Erasures(settings.data_dir)
    erasures.request(Erase(event_id="e-1", occurred_at=NOW, article_id="tag:a,1"))
    erasures.close()
    found = export(settings, "news-topics", tmp_path / "rows.jsonl", as_format=None, wanted=ALL)
    assert found.counts.left_out["rows that are being erased"] == 1
    assert "Rates rise" not in found.path.read_text(encoding="utf-8")


def test_what_is_there_already_is_not_touched(settings: Settings, tmp_path: Path) -> None:
    topics(settings)
    (tmp_path / "rows.jsonl").write_text("mine")
    (tmp_path / "folder").mkdir()
    for name in ("rows.jsonl", "folder"):
        with pytest.raises(UserError, match="exists already"):
            export(settings, "news-topics", tmp_path / name, as_format=None, wanted=ALL)
    assert (tmp_path / "rows.jsonl").read_text() == "mine"


@pytest.mark.parametrize("as_format", NAMES)
def test_a_full_disk_leaves_nothing(settings: Settings, tmp_path: Path, as_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    topics(settings)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting.durable, "sync_tree", full)
    monkeypatch.setattr(exporting.durable, "sync_file", full)
    target = tmp_path / "out" / NAMES[as_format]
    with pytest.raises(UserError, match="No space left"):
        export(settings, "news-topics", target, as_format=as_format, wanted=ALL)
    assert list(target.parent.iterdir()) == []


def test_what_a_killed_export_left_is_replaced(settings: Settings, tmp_path: Path) -> None:
    topics(settings)
    (tmp_path / ".rows.jsonl.writing").write_text("half")
    export(settings, "news-topics", tmp_path / "rows.jsonl", as_format=None, wanted=ALL)
    assert not (tmp_path / ".rows.jsonl.writing").exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("nothing", "rows.jsonl", None), "is not defined"),
        (("news-topics", "rows.docx", None), "does not show a format"),
        (("news-topics", "rows", "arff"), "is not known"),
        (("news-entities", "rows.jsonl", None), "no row to write"),
    ],
)
def test_what_cannot_be_written_is_said(
    settings: Settings, tmp_path: Path, asked: tuple[str, str, str | None], said: str
) -> None:
    task, name, as_format = asked
    topics(settings)
    with pytest.raises(UserError, match=said):
        export(settings, task, tmp_path / name, as_format=as_format, wanted=ALL)
    assert not (tmp_path / name).exists()


def test_nothing_has_run_here(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        export(settings, "news-topics", tmp_path / "rows.jsonl", as_format=None, wanted=ALL)


@pytest.fixture
def command(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    return CliRunner()


def test_the_command_tells_what_it_wrote(settings: Settings, tmp_path: Path, command: CliRunner) -> None:
    topics(settings)
    done = command.invoke(app, ["data", "export", "news-topics", str(tmp_path / "rows.parquet"), "--side", "train", "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["format"], said["counts"]["sides"]) == ("parquet", {"train": 1})
    wrong = command.invoke(app, ["data", "export", "news-topics", str(tmp_path / "more.jsonl"), "--side", "left"])
    assert isinstance(wrong.exception, UserError)
