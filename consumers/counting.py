"""How much of what a task has: counted from small columns, because a daemon asks every few seconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from consumers.lance_tables import Tables
from consumers.tables import quoted

# Chosen without looking at a model's answer: only these may decide a comparison.
INDEPENDENT = ("gold", "import", "audit")
_COUNTED = ("examples", "example_enrichment", "feedback")


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


class Counting:
    """Counts, again only when a table has changed."""

    def __init__(self, tables: Tables, min_quality: float) -> None:
        self._tables = tables
        self._min_quality = min_quality
        self._counted: dict[tuple[str, int], tuple[dict[str, int], TaskCounts]] = {}

    def count(self, task: str, after_seq: int) -> TaskCounts:
        """Count one task's examples; `new` are those enriched after number `after_seq`."""
        versions = self._tables.versions(_COUNTED)
        known = self._counted.get((task, after_seq))
        if known is None or known[0] != versions:
            # One entry per task and asker's number; numbers that nobody asks for any more go with the next change.
            self._counted = {key: entry for key, entry in self._counted.items() if entry[0] == versions}
            known = self._counted[task, after_seq] = (versions, self._fresh(task, after_seq))
        return known[1]

    def _fresh(self, task: str, after_seq: int) -> TaskCounts:
        own = f"task = {quoted(task)}"
        columns = ["split", "selected_by", "verdict", "quality", "duplicate_of", "enriched_seq", "stored_at"]
        # One look at the narrow columns costs less than a filter for each figure.
        rows = self._tables.scan("example_enrichment", columns, own)
        original = rows.filter(pc.is_null(rows["duplicate_of"]))
        good = pc.greater_equal(original["quality"], self._min_quality)
        train = original.filter(pc.and_(pc.equal(original["split"], "train"), good))
        new = train.filter(pc.greater(train["enriched_seq"], after_seq))
        held_out = original.filter(pc.equal(original["split"], "test"))
        return TaskCounts(
            train=train.num_rows,
            new=new.num_rows,
            test=_how_many(pc.is_in(held_out["selected_by"], value_set=pa.array(INDEPENDENT))),
            anchor=_how_many(pc.equal(original["split"], "anchor")),
            corrections=_how_many(pc.equal(held_out["verdict"], "correction")),
            waiting=self._tables.count("feedback", f"{own} AND status = 'waiting'"),
            unenriched=max(0, self._tables.count("examples", own) - rows.num_rows),
            oldest_new_at=pc.min(new["stored_at"]).as_py(),
            max_seq=pc.max(rows["enriched_seq"]).as_py() or 0,
        )


def _how_many(mask: pa.ChunkedArray) -> int:
    return pc.sum(mask).as_py() or 0
