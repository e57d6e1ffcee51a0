"""The anchor set: built from the oldest held-out documents, or imported; frozen, and nothing else touches it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from config.errors import UserError
from config.settings import load_settings
from consumers.buffer.writer import BufferWriter
from consumers.events.schemas import Label
from consumers.rows.backlog import TextRow
from consumers.rows.eligibility import eligibility
from consumers.training_set.anchor import BUILT
from daemon.cli.main import app
from daemon.operations import anchoring
from daemon.operations.anchoring import Rows
from daemon.views.task import anchors
from tests.integration.test_import_command import ROWS, store_what_waits, written
from tests.support.buffers import TOPICS, enrich, feedback, label, opened, stored, take
from tests.support.tables import rows_of
from trainers.compare.guarding import judging

DAY = 24.0


def task(**promotion: Any) -> Any:
    """Three recent rows decide; what is older than ten days is outside of the window."""
    policy = {"min_test_examples": 3, "window_days": 10.0, "anchor_rows": 5, **promotion}
    return TOPICS.model_copy(
        update={"promotion": TOPICS.promotion.model_copy(update=policy), "new_label_min_examples": 1}
    )  # fmt: skip


def held_out(row: TextRow) -> str:
    return "anchor" if row.anchor else "train" if row.text.startswith("train") else "test"


def archive(*, recent: int = 3, documents: int = 4) -> list[Label]:
    """Labels of some old documents with two sentences each, of recent texts, and one that trains."""
    old = [
        label(f"old-{number}-{at}", f"old {number} {at}", document_id=f"d:{number}", hours=DAY * (40 - number) + at)
        for number in range(documents)
        for at in range(2)
    ]
    return [*old, *(label(f"new-{at}", f"new {at}", hours=float(at)) for at in range(recent)), label("train-1", "train one")]


def splits(buffer: BufferWriter) -> Mapping[str, str]:
    rows = rows_of(buffer.folder, "example_enrichment", ["row_id", "split"])
    return dict(zip(rows["row_id"].to_pylist(), rows["split"].to_pylist(), strict=True))


def test_the_oldest_held_out_documents_join_whole_and_stay(tmp_path: Path) -> None:
    with opened(tmp_path / "b", tasks={TOPICS.name: task()}) as buffer:
        take(buffer, *archive(), split=held_out)
        # Documents of two rows: the third one begins below five rows and is taken whole.
        assert buffer.build_anchor(task()) == 6
        found = splits(buffer)
        assert {row_id for row_id, split in found.items() if split == "anchor"} == {
            f"old-{number}-{at}" for number in range(3) for at in range(2)
        }
        assert (found["old-3-0"], found["new-0"], found["train-1"]) == ("test", "test", "train")
        writes = buffer.writes
        assert buffer.build_anchor(task()) == 0
        assert buffer.writes == writes
        counts = buffer.counts(TOPICS.name)
        assert (counts.anchor, counts.anchor_imported, counts.test, counts.test_in_window) == (6, 0, 5, 3)
        (part,) = buffer.anchor_parts(TOPICS.name)
        assert (part.origin, part.rows, part.documents) == (BUILT, 6, 3)
        frozen = buffer.freeze(task(), run_id="r", folder=tmp_path / "set", learnt=frozenset())
        assert frozen.manifest.counts == {"train": 1, "test": 3, "anchor": 6, "corrections": 0}
        fate = buffer.feedback_fate("old-0-0")
        assert fate is not None
        assert "anchor set" in buffer.explain(fate).reason


@pytest.mark.parametrize(
    ("promotion", "rows", "more"),
    [
        ({"anchor_rows": 0}, 3, ()),
        ({"min_test_examples": 4}, 3, ()),  # what decides must not get less
        ({"window_days": 90.0}, 3, ()),
        ({}, 0, ()),
        ({}, 3, (label("mine", "an anchor", anchor=True, hours=DAY),)),  # somebody imported one
    ],
)
def test_nothing_joins(tmp_path: Path, promotion: dict[str, Any], rows: int, more: tuple[Label, ...]) -> None:
    with opened(tmp_path / "b") as buffer:
        take(buffer, *archive(recent=rows), *more, split=held_out)
        assert buffer.build_anchor(task(**promotion)) == 0


def test_an_empty_buffer_has_none(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        assert buffer.build_anchor(task()) == 0
        assert anchors.of(buffer, TOPICS.name).rows == 0


def test_feedback_is_never_an_anchor(tmp_path: Path) -> None:
    for verdict in ("correction", "confirmation"):
        assert eligibility("anchor", "feedback", verdict, good=True, feedback=TOPICS.feedback) is None
    with opened(tmp_path / "b", tasks={TOPICS.name: task()}) as buffer:
        take(buffer, *archive(), split=held_out)
        buffer.build_anchor(task())
        # The very text, corrected: in whatever split it is put, the label of the anchor set stays what is right.
        buffer.insert(stored(feedback("f-1", "old 0 0", "sport"), offset=900))
        enrich(buffer, split=lambda _row: "anchor")
        frozen = buffer.freeze(task(), run_id="r", folder=tmp_path / "set", learnt=frozenset()).rows("anchor")
        assert "f-1" not in frozen["example_id"].to_pylist()
        assert {json.loads(target)["label"] for target in frozen["target"].to_pylist()} == {"economy"}
        assert buffer.counts(TOPICS.name).anchor == 6


def rows_named(*events: Label) -> Rows:
    found = Rows()
    for event in events:
        found.add(event)
    return found


def look(
    buffer: BufferWriter, *events: Label, add: bool = False, source: str = "anchor file b", **labels: int
) -> tuple[str, ...]:
    found = labels or {"economy": len(events)}
    return anchoring.look(buffer, task(), rows_named(*events), found, source=source, add=add)


def test_rows_that_share_documents_with_training_are_told_and_a_file_of_nothing_else_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        take(buffer, label("t-1", "train one", document_id="d:1"), label("t-2", "train two"), split=held_out)
        apart = label("a-1", "apart", document_id="d:9")
        tied = [label("a-2", "of a document", document_id="d:1"), label("a-3", "train two")]
        assert look(buffer, apart) == ()
        (note,) = look(buffer, apart, *tied)
        assert "2 of 3 rows" in note
        with pytest.raises(UserError, match="each of the 2 rows"):
            look(buffer, *tied)


def test_labels_that_nothing_else_carries_are_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        assert look(buffer, label("a-1", "apart", "chess"), chess=1) == (), "of an empty task nobody knows"
        take(buffer, label("t-1", "train one"), split=held_out)
        with pytest.raises(UserError, match=r"'chess' \(2 rows\)"):
            look(buffer, label("a-1", "apart"), economy=1, chess=2)


def test_another_file_replaces_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        take(buffer, label("a-1", "first", anchor=True, source="anchor file a (0123)"), label("t-1", "train"), split=held_out)
        with pytest.raises(UserError, match=r"1 row from anchor file a \(0123\).*--add"):
            look(buffer, label("a-2", "second"))
        assert look(buffer, label("a-2", "second"), add=True) == ()
        assert look(buffer, label("a-1", "first"), source="anchor file a (0123)") == (), "the same file again"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def told(*arguments: str) -> Result:
    done = CliRunner().invoke(app, ["anchor", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit | UserError), done.exception
    return done


def test_a_file_is_imported_whole_and_named_as_the_source(folder: Path) -> None:
    name = written(folder, "gold.jsonl", ROWS)
    assert "5 rows can be imported" in told("import", "news-topics", name, "--dry-run").stdout
    first = json.loads(told("import", "news-topics", name, "--json").stdout)
    assert (first["rows"], first["sent"], first["known"], first["notes"]) == (5, 5, 0, [])
    assert first["source"].startswith("anchor file gold.jsonl (")
    store_what_waits()
    with opened(load_settings().buffer_dir) as buffer:
        enrich(buffer)
    again = json.loads(told("import", "news-topics", name, "--json").stdout)
    assert (again["sent"], again["known"]) == (0, 5)
    other = written(folder, "other.jsonl", [{"text": "Rates rise again", "label": "economy"}])
    refused = told("import", "news-topics", other)
    assert isinstance(refused.exception, UserError)
    assert "anchor file gold.jsonl" in str(refused.exception)
    listed = json.loads(told("list", "news-topics", "--json").stdout)
    assert [(one["task"], one["rows"], [part["origin"] for part in one["parts"]]) for one in listed] == [
        ("news-topics", 5, [first["source"]])
    ]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "no row"),
        ([{"text": "  ", "label": "economy"}, ROWS[0]], "whole or not at all"),
    ],
)
def test_what_cannot_be_imported_whole_is_refused(folder: Path, rows: list[Any], said: str) -> None:
    refused = told("import", "news-topics", written(folder, "rows.jsonl", rows))
    assert isinstance(refused.exception, UserError)
    assert said in str(refused.exception)
    assert not load_settings().buffer_dir.exists()


def test_an_unknown_task_is_named(folder: Path) -> None:
    refused = told("import", "nobody", written(folder, "rows.jsonl", ROWS))
    assert isinstance(refused.exception, UserError)
    assert "news-topics" in str(refused.exception)


def test_a_source_is_no_longer_than_an_event_may_name() -> None:
    assert len(anchoring.source_of("x" * 500, "0" * 64)) <= 200
    assert anchors.NEEDED == judging.MIN_ANCHOR_ROWS
