"""How long rows stay: by when they arrived, so that an archive of ten years is not gone the hour after it came in.

Findings go with what they were found about. Texts that a waiting answer names stay until it is joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from config.sections import BufferSettings
from consumers.tables.columns import moment
from consumers.tables.lance import Snapshot
from consumers.tables.upkeep import Upkeep

# Findings before what they were found about: a crash in between leaves rows that are enriched again, not orphans.
_GOING = (
    "feedback_judgements", "article_enrichment", "example_enrichment", "articles", "examples", "feedback", "predictions",
    "requests",
)  # fmt: skip
_ARRIVED_AT: Mapping[str, str] = {"feedback_judgements": "arrived_at"}
# What a waiting answer names its text by, in the tables where such texts are.
_NAMED_BY: Mapping[str, str] = {"articles": "article_id", "predictions": "prediction_id"}


def enforce(upkeep: Upkeep, settings: BufferSettings, now: datetime) -> dict[str, int]:
    """Remove rows past their time, in portions while ingest continues; return how many went of each table that had any."""
    removed: dict[str, int] = {}
    for name in _GOING:
        days = settings.predictions_days if name == "predictions" else settings.retention_days
        if days == 0:
            continue
        with upkeep.pinned([name, "feedback"]) as tables:
            row_ids = _expired(tables, name, now - timedelta(days=days))
        if row_ids:
            upkeep.delete(name, row_ids)
            removed[name] = len(row_ids)
    return removed


def _expired(tables: Snapshot, name: str, cutoff: datetime) -> list[int]:
    arrived_at, named_by = _ARRIVED_AT.get(name, "stored_at"), _NAMED_BY.get(name)
    # What became of the labels holds for rows that come later too.
    old = f"{arrived_at} < {moment(cutoff)}" + (" AND kind != 'task_schema'" if name == "requests" else "")
    rows = tables.scan(name, [named_by or arrived_at], old, row_ids=True)
    if named_by:
        awaited = tables.scan("feedback", [named_by], "status = 'waiting'")[named_by].drop_null()
        if len(awaited):
            rows = rows.filter(
                pc.invert(pc.is_in(rows[named_by], value_set=pa.array(pc.unique(awaited).to_pylist(), pa.string())))
            )
    row_ids: list[int] = rows["_rowid"].to_pylist()
    return row_ids
