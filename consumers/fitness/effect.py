"""What the rules of a task leave out of training: counts and examples of each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.tasks import TaskSpec
from consumers.fitness import rules
from consumers.fitness.facts import facts, tables_for
from consumers.tables.columns import quoted
from consumers.tables.lance import Snapshot

_EXAMPLES = 3
_BEGINS_CHARS = 160
_MOST_LANGUAGES = 20


@dataclass(frozen=True, slots=True)
class Removed:
    """A text that a rule leaves out."""

    example_id: str
    begins: str
    words: int | None
    language: str | None
    reasons: tuple[str, ...]
    """What enrichment found in it."""
    source: str | None
    """Read only where a rule is about sources."""


@dataclass(frozen=True, slots=True)
class RuleEffect:
    """What one rule does."""

    rule: str
    told: str
    rows: int
    """Rows that break it."""
    alone: int
    """Rows that break it and no other rule: they would come back without it."""
    examples: tuple[Removed, ...]
    """The newest."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What the rules of a task do to its rows of the train side."""

    rows: int
    kept: int
    rules: tuple[RuleEffect, ...]
    found: Mapping[str, int]
    """Rows by what was found in them, whether a rule refuses it or not."""
    languages: Mapping[str, int]
    """Rows by language, the most frequent first."""


def read(task: TaskSpec) -> tuple[str, ...]:
    """Return the tables that `effect` reads."""
    return ("examples", "example_enrichment", *tables_for(task.quality))


def effect(snapshot: Snapshot, task: TaskSpec, *, min_quality: float) -> Effect:
    """Return what `enrich.min_quality` and the rules of a task leave out. Memory: narrow columns; texts of examples alone."""
    where = f"task = {quoted(task.name)} AND split = 'train'"
    rows = facts(snapshot, task.quality, where, more=("event_time",))
    masks = {
        "enrich.min_quality": np.asarray(pc.less(rows["quality"], pa.scalar(min_quality, pa.float32())).to_numpy(), dtype=bool),
        **rules.broken(task.quality, rows),
    }
    breaks = np.sum(list(masks.values()), axis=0) if rows.num_rows else np.zeros(0, int)
    shown = {rule: _newest(rows, mask) for rule, mask in masks.items()}
    texts = _beginnings(snapshot, [row["row_id"] for some in shown.values() for row in some])
    counted = {"enrich.min_quality": f"enrich.min_quality is {min_quality:g}"}
    return Effect(
        rows=rows.num_rows,
        kept=int(np.count_nonzero(breaks == 0)),
        rules=tuple(
            RuleEffect(
                rule=rule, told=counted.get(rule) or task.quality.told(rule), rows=int(np.count_nonzero(mask)),
                alone=int(np.count_nonzero(mask & (breaks == 1))),
                examples=tuple(_removed(row, texts.get(row["row_id"], "")) for row in shown[rule]),
            )
            for rule, mask in masks.items()
        ),
        found=_found(rows),
        languages=dict(_counts(rows["language"]).most_common(_MOST_LANGUAGES)),
    )  # fmt: skip


def _newest(rows: pa.Table, mask: rules.Mask) -> list[dict[str, Any]]:
    chosen = rows.filter(pa.array(mask))
    order = pc.sort_indices(chosen, [("event_time", "descending"), ("row_id", "ascending")])
    found: list[dict[str, Any]] = chosen.take(order[:_EXAMPLES]).to_pylist()
    return found


def _beginnings(snapshot: Snapshot, row_ids: list[str]) -> dict[str, str]:
    read_ = snapshot.lookup("examples", "row_id", sorted(set(row_ids)), ["row_id", "text"])
    return {row["row_id"]: row["text"][:_BEGINS_CHARS] for row in read_.to_pylist()}


def _removed(row: Mapping[str, Any], begins: str) -> Removed:
    return Removed(
        example_id=row["row_id"],
        begins=" ".join(begins.split()),
        words=row["words"],
        language=row["language"],
        reasons=tuple(json.loads(row["quality_reasons"] or "[]")),
        source=row.get("source"),
    )


def _found(rows: pa.Table) -> dict[str, int]:
    found: Counter[str] = Counter()
    for reasons, count in _counts(rows["quality_reasons"]).items():
        found.update(dict.fromkeys(rules.findings(reasons), count))
    return dict(found.most_common())


def _counts(column: pa.ChunkedArray) -> Counter[str]:
    return Counter({row["values"]: row["counts"] for row in pc.value_counts(column).to_pylist() if row["values"] is not None})
