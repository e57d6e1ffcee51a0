"""The columns of files that are written: as importers find them by name, in every format the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from consumers.formats.layouts.recognise import PARTIAL
from consumers.formats.mapping import SIDE, TYPES
from consumers.training_set.labelled import LabelledRow

ARTICLE, EXAMPLE = "article_id", "example_id"
_FACTS = (
    pa.field(SIDE, pa.string()),
    pa.field("origin", pa.string()),
    pa.field("time", pa.timestamp("us", tz="UTC")),
    pa.field("document_id", pa.string()),
    pa.field(ARTICLE, pa.string()),
    pa.field(EXAMPLE, pa.string()),
    pa.field("language", pa.string()),
)


def schema_of(task: TaskSpec) -> pa.Schema:
    """Return the columns of a task's rows and what they hold; what a kind of one's own says is its JSON."""
    span = pa.struct([("start", pa.int32()), ("end", pa.int32()), ("label", pa.string())])
    signal = pa.struct([("score", pa.float64()), ("tag", pa.string())])
    known: Mapping[str, list[pa.Field]] = {
        "label": [pa.field("label", pa.string())],
        "labels": [pa.field("labels", pa.list_(pa.string()))],
        # Whoever gave a partial answer, or knew some types alone, says nothing of the others.
        "spans": [
            pa.field("spans", pa.list_(span)), pa.field(PARTIAL, pa.bool_()), pa.field(TYPES, pa.list_(pa.string())),
        ],
        "values": [pa.field("values", pa.struct([(one.name, pa.float64()) for one in task.dimensions]))],
        "signals": [pa.field("signals", pa.struct([(one.name, signal) for one in task.signals]))],
    }  # fmt: skip
    key = kinds.get(task.kind).key
    return pa.schema([pa.field("text", pa.string()), *known.get(key, [pa.field(key, pa.string())]), *_FACTS])


def values_of(row: LabelledRow, schema: pa.Schema) -> dict[str, Any]:
    """Return a row by column."""
    facts: dict[str, Any] = {
        "text": row.text, SIDE: row.side, "origin": row.origin, "time": row.time, "document_id": row.document_id,
        ARTICLE: row.article_id, EXAMPLE: row.example_id, "language": row.language or None,
    }  # fmt: skip
    return {field.name: facts[field.name] if field.name in facts else _said(row, field) for field in schema}


def _said(row: LabelledRow, field: pa.Field) -> object:
    said = row.target.get(field.name)
    return said if said is None or not pa.types.is_string(field.type) or isinstance(said, str) else json.dumps(said)
