"""The buffer's tables: their columns, and the few words of SQL that filters are made of.

What arrived (`articles`, `examples`, `feedback`, `predictions`, `requests`) and what was found out about it
(`article_enrichment`, `example_enrichment`, `feedback_judgements`) are kept apart: the first are only ever appended to, so that
no redelivery can touch what enrichment wrote, and a count never reads a text. One thing changes there: the target of a label
that a person has corrected (`consumers/rows/labels/label_corrections.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Literal

import pyarrow as pa

FORMAT_VERSION = 1

TextTable = Literal["articles", "examples"]
ENRICHMENT_OF: Mapping[str, str] = {"articles": "article_enrichment", "examples": "example_enrichment"}

_TIME = pa.timestamp("us", tz="UTC")


def _columns(*names: str, kind: pa.DataType | None = None, nullable: bool = True) -> list[pa.Field]:
    return [pa.field(name, kind or pa.string(), nullable=nullable) for name in names]


def _required(*names: str, kind: pa.DataType | None = None) -> list[pa.Field]:
    return _columns(*names, kind=kind, nullable=False)


# Where and when an event came in. `stored_seq` grows with every stored row of any table.
_ARRIVAL = [
    *_required("payload_sha256", "topic"),
    *_required("partition", kind=pa.int32()),
    *_required("offset", "stored_seq", kind=pa.int64()),
    *_required("event_time", "stored_at", kind=_TIME),
]
_ENRICHMENT = [
    *_required("row_id"),
    *_required("enriched_seq", "stored_seq", kind=pa.int64()),
    *_required("event_time", "stored_at", kind=_TIME),
    *_required("text_sha256", "split"),
    *_columns("language", "quality_reasons", "encoder_id", "story_id", "dropped_because"),
    *_required("quality", kind=pa.float32()),
    # Not a fixed-size list: another encoder may have another width.
    *_columns("embedding", kind=pa.list_(pa.float32())),
]
# Added by a later version, so last of their tables: what a story's leader looks like (consumers/text/outlines.py).
_OUTLINE = _columns("outline", kind=pa.list_(pa.int32()))
# Added by a later version, so last: how many words the text has, estimated from the beginning of a long one.
_WORDS = _columns("words", kind=pa.int32())
# Likewise: when and why a held-out row went to training (consumers/training_set/retiring.py).
_RETIRED = [*_columns("retired_at", kind=_TIME), *_columns("retired_because")]
# Copied from the example, so that counting and selecting need no join.
EXAMPLE_FACTS = ("task", "origin", "selected_by", "verdict", "answer_sha256")

SCHEMAS: Mapping[str, pa.Schema] = {
    "articles": pa.schema(
        [
            *_required("row_id", "event_id", "article_id", "text", "text_sha256"),
            *_columns("url", "publisher", "source"),
            *_ARRIVAL,
            # Fields that nobody here knows, as JSON. Added by a later version, so last.
            *_columns("extra"),
        ]
    ),
    "examples": pa.schema(
        [
            *_required("row_id", "task", "text", "text_sha256", "target", "answer_sha256", "origin", "selected_by"),
            *_columns("verdict", "article_id", "prediction_id", "model_version", "user_id", "source"),
            *_required("anchor", kind=pa.bool_()),
            *_ARRIVAL,
            # Added by later versions, so last: a folder from before gets them, empty, when it is opened for writing.
            *_columns("document_id"),
            # The labels that a closed task accepted when the answer came, as JSON.
            *_columns("accepted_labels"),
            # Of a label that a person gave: who, whether it decides where others differ, and what they add.
            *_columns("annotator"),
            *_columns("settles", kind=pa.bool_()),
            *_columns("note"),
            # The request that it answers, where it was chosen because two models disagree.
            *_columns("request"),
            # Of a weak label: what it weighs in training.
            *_columns("weight", kind=pa.float32()),
            # Of a label that was wrong: what it said at first, as JSON, and the event that corrected it last.
            *_columns("first_target", "corrected_by"),
        ]
    ),
    "feedback": pa.schema(
        [
            *_required("event_id", "task", "target", "origin", "status", "reason"),
            *_columns("verdict", "article_id", "prediction_id", "model_version", "user_id", "source"),
            *_required("anchor", kind=pa.bool_()),
            *_ARRIVAL,
            *_columns("document_id", "accepted_labels", "annotator"),
            *_columns("settles", kind=pa.bool_()),
            *_columns("note", "selected_by", "request"),
            *_columns("weight", kind=pa.float32()),
        ]
    ),
    "predictions": pa.schema(
        [
            *_required("prediction_id", "event_id", "task", "model_version", "text", "answer"),
            *_columns("article_id"),
            *_ARRIVAL,
            # `correction` where a person's correction answered in the model's place. Added by a later version, so last.
            *_columns("answered_by"),
        ]
    ),
    "requests": pa.schema([*_required("event_id", "kind", "body"), *_columns("task"), *_ARRIVAL]),
    "article_enrichment": pa.schema([*_ENRICHMENT, *_OUTLINE, *_WORDS, *_RETIRED]),
    "example_enrichment": pa.schema(
        [
            *_ENRICHMENT,
            *_required(*(name for name in EXAMPLE_FACTS if name != "verdict")),
            *_columns("verdict"),
            *_required("anchor", kind=pa.bool_()),
            *_OUTLINE,
            *_WORDS,
            *_RETIRED,
        ]
    ),
    # One row for each enriched example that came as feedback; see consumers/defence.
    "feedback_judgements": pa.schema(
        [
            *_required("row_id", "task", "user_id", "source", "contributor", "verdict", "text_sha256", "story_id"),
            *_required("target", "arrived_day", "moves", "standing"),
            *_columns("over_cap", "alarm", "evidence", "decision"),
            *_columns("against_the_answer", kind=pa.bool_()),
            *_required("contested", kind=pa.bool_()),
            *_required(
                "enriched_seq", "stored_seq", "arrived_seq", "decided_seq", "effective_seq", "judged_seq", kind=pa.int64()
            ),
            *_required("event_time", "arrived_at", kind=_TIME),
            # Whether it cites an answer that a correction gave in the model's place. Added by a later version, so last.
            *_columns("cites_a_correction", kind=pa.bool_()),
        ]
    ),
}
# What makes a row of each table the same row.
KEYS: Mapping[str, str] = {
    "articles": "event_id",
    "examples": "row_id",
    "feedback": "event_id",
    "predictions": "prediction_id",
    "requests": "event_id",
    "article_enrichment": "row_id",
    "example_enrichment": "row_id",
    "feedback_judgements": "row_id",
}
ARRIVED = ("articles", "examples", "feedback", "predictions", "requests")


def quoted(value: str) -> str:
    """Return `value` as a SQL string literal."""
    return "'" + value.replace("'", "''") + "'"


def moment(value: datetime) -> str:
    """Return an aware time as a SQL timestamp literal in UTC."""
    plain = value.astimezone(UTC).replace(tzinfo=None)
    return f"timestamp '{plain.isoformat(' ', 'microseconds')}'"


def is_one_of(column: str, values: Iterable[str]) -> str:
    """Return the filter that keeps rows whose `column` is among `values` (at least one)."""
    return f"{column} IN ({', '.join(quoted(value) for value in values)})"
