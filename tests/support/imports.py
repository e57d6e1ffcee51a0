"""Files to import, and what becomes of their rows in a few words."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from consumers.events.schemas import Article, Label
from consumers.formats.importing import Import, plan
from consumers.formats.mapping import ColumnMapping
from consumers.formats.options import ImportOptions
from consumers.formats.rows import BadRow, LeftOut
from tests.support.sample_events import TASKS

NOW = datetime(2030, 1, 1, tzinfo=UTC)
TOPICS = TASKS["news-topics"].model_copy(update={"labels": "open"})
ENTITIES = TASKS["news-entities"].model_copy(update={"labels": "open"})


def written(folder: Path, name: str, content: object) -> Path:
    """Return a new file: bytes and text as they are, a list of columns as Parquet, other lists as JSON Lines."""
    path = folder / name
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    elif isinstance(content, list):
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
    else:
        path.write_bytes(content if isinstance(content, bytes) else str(content).encode())
    return path


def looked_at(path: Path, task: Any, mapping: ColumnMapping | None = None, **options: Any) -> Import:
    """Return the import of a file."""
    return plan(path, task, mapping, options=ImportOptions(**options), clock=lambda: NOW)


def told(found: Import) -> list[Any]:
    """Return of each row what it became: (text, entities with their text), (text, label), an article, or why it gave none.

    A refused row is "refused: REASON", one left out on purpose "left out: REASON".
    """
    return [_told(row) for row in found.events()]


def entities(path: Path, mapping: ColumnMapping | None = None, **options: Any) -> list[Any]:
    """Return what became of each row in an open task of entities."""
    return told(looked_at(path, ENTITIES, mapping, **options))


def topics(path: Path, mapping: ColumnMapping | None = None, **options: Any) -> list[Any]:
    """Return what became of each row in an open task of topics."""
    return told(looked_at(path, TOPICS, mapping, **options))


def articles(path: Path, mapping: ColumnMapping | None = None, **options: Any) -> list[Any]:
    """Return what became of each row without a task."""
    return told(looked_at(path, None, mapping, **options))


def _told(row: Any) -> Any:
    if isinstance(row, BadRow):
        return f"refused: {row.reason}"
    if isinstance(row, LeftOut):
        return f"left out: {row.reason}"
    if isinstance(row, Article):
        return row.title, row.body
    assert isinstance(row, Label)
    assert row.text is not None
    if "label" in row.target:
        return row.text, row.target["label"]
    return row.text, [(row.text[span["start"] : span["end"]], span["label"]) for span in row.target["spans"]]
