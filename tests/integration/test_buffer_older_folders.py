"""A data folder of an earlier release opens: columns that it lacks are added, and its rows have no value there."""

from __future__ import annotations

from pathlib import Path

import lancedb
import pytest

from consumers.buffer.open import open_reader
from consumers.tables.columns import SCHEMAS
from consumers.tables.lance import Tables
from tests.support.buffers import TASKS, article, enrich, feedback, label, opened, stored

OF_LABELS = ["document_id", "accepted_labels", "annotator", "settles", "note", "request"]
OF_ENRICHMENT = ["words", "retired_at", "retired_because"]
ADDED = {
    "examples": [*OF_LABELS, "weight", "first_target", "corrected_by"],
    "feedback": [*OF_LABELS, "selected_by", "weight"],
    "example_enrichment": OF_ENRICHMENT,
    "article_enrichment": OF_ENRICHMENT,
}


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A folder with a label, a waiting label and feedback, as a version without the added columns left it."""
    folder = tmp_path / "b"
    with opened(folder) as buffer:
        buffer.insert(stored(label("l-1", "Rates rise"), label("l-2", None, article_id="a-1"), feedback("f-1", "Oil falls")))
        enrich(buffer)
        buffer.sync()
    database = lancedb.connect(folder)
    for table, columns in ADDED.items():
        database.open_table(table).drop_columns(columns)
    return folder


def test_a_reader_of_an_older_folder_sees_no_value(older: Path) -> None:
    reader = open_reader(older, tasks=TASKS)
    assert reader.table_counts()["examples"] == 2
    rows = Tables(older, writer=False).scan("examples", ["document_id", "row_id", "text"])
    assert rows.column_names == ["document_id", "row_id", "text"]
    assert rows["document_id"].to_pylist() == [None, None]


def test_a_writer_adds_what_is_missing_and_goes_on(older: Path) -> None:
    with opened(older) as buffer:
        assert buffer.repairs == ()
        buffer.insert(stored(label("l-3", "Oil falls again", document_id="wire:7"), article("a-1"), offset=10))
        assert buffer.resolve_waiting() == 1, "an answer from before joins the text that came now"
        enrich(buffer)
        assert buffer.counts("news-topics").train == 4
    with opened(older) as buffer:
        assert buffer.repairs == ()
        rows = Tables(older, writer=False).scan("examples", ["row_id", "document_id"]).to_pylist()
    assert {row["row_id"]: row["document_id"] for row in rows} == {"l-1": None, "l-2": None, "f-1": None, "l-3": "wire:7"}
    database = lancedb.connect(older)
    assert all(database.open_table(name).schema.names == list(schema.names) for name, schema in SCHEMAS.items())


def test_a_redelivered_label_from_before_is_the_same_event(older: Path) -> None:
    with opened(older) as buffer:
        again = buffer.insert(stored(label("l-1", "Rates rise")))
    assert (again.inserted, again.duplicates, again.conflicts) == (0, 1, ())
