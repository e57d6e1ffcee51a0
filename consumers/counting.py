"""How much of what a task has: counted from small columns, because a daemon asks every few seconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pyarrow.compute as pc

from consumers.lance_tables import Tables
from consumers.tables import quoted

# Chosen without looking at a model's answer: only these may decide a comparison.
INDEPENDENT = ("gold", "import", "audit")


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """What the buffer holds for one task. Effective: enriched, in the training split, good enough, no duplicate."""

    train: int
    """Effective training examples."""
    new: int
    """Effective training examples enriched after the asked-for sequence number."""
    test: int
    """Held-out examples that decide comparisons."""
    anchor: int
    corrections: int
    """Held-out corrections: reported, never deciding."""
    waiting: int
    """Answers whose text has not arrived."""
    unenriched: int
    oldest_new_at: datetime | None
    """When the oldest new example came into the buffer."""
    max_seq: int
    """The highest enrichment number among the task's examples."""


def count(tables: Tables, task: str, *, after_seq: int, min_quality: float) -> TaskCounts:
    """Count one task's examples."""
    its_own = f"task = {quoted(task)}"
    columns = ["split", "selected_by", "verdict", "quality", "duplicate_of", "enriched_seq", "stored_at"]
    rows = tables.scan("example_enrichment", columns, its_own)
    original = pc.is_null(rows["duplicate_of"])
    train = rows.filter(
        pc.and_(pc.and_(pc.equal(rows["split"], "train"), original), pc.greater_equal(rows["quality"], min_quality))
    )
    new = train.filter(pc.greater(train["enriched_seq"], after_seq))
    held_out = rows.filter(pc.and_(pc.equal(rows["split"], "test"), original))
    deciding = [pc.sum(pc.equal(held_out["selected_by"], kind)).as_py() or 0 for kind in INDEPENDENT]
    return TaskCounts(
        train=train.num_rows,
        new=new.num_rows,
        test=sum(deciding),
        anchor=pc.sum(pc.and_(pc.equal(rows["split"], "anchor"), original)).as_py() or 0,
        corrections=pc.sum(pc.equal(held_out["verdict"], "correction")).as_py() or 0,
        waiting=tables.count("feedback", f"{its_own} AND status = 'waiting'"),
        unenriched=max(0, tables.count("examples", its_own) - rows.num_rows),
        oldest_new_at=pc.min(new["stored_at"]).as_py(),
        max_seq=pc.max(rows["enriched_seq"]).as_py() or 0,
    )
