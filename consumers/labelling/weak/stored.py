"""Weak labels as the buffer holds them, and what a new look changes: labels to send, and labels that hold no more.

Ids follow from what a label says, and from how often just that was withdrawn: a look that is repeated, or that was cut off in the
middle, gives the very same events again, and a rule that is changed and changed back gives labels that count anew.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from config.tasks import TaskSpec
from consumers.events.correcting import WeakLabelsWithdrawn
from consumers.events.schemas import Label
from consumers.labelling.weak.labelling import WeakLabel
from consumers.rows.arriving.event_rows import canonical_json
from consumers.rows.eligibility import WEAK
from consumers.rows.labels.withdrawn import withdrawn_ids
from consumers.tables.columns import quoted
from consumers.tables.lance import Tables

SOURCE = "perennial weak"
_PER_EVENT = 1_000
_ROUNDING = 1e-6
_LEAST_WEIGHT = 0.01
_SAME_WEIGHT = 0.05
"""Weights so near to each other are one: each new article moves the label model a little."""

Saying = tuple[str, str, float]
"""SHA-256 of a text, target as JSON, weight at two digits."""


@dataclass(frozen=True, slots=True)
class StoredLabel:
    """A label in the buffer that no person gave."""

    event_id: str
    says: Saying
    withdrawn: bool
    enriched: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """What a new look at a task's texts changes."""

    new: Sequence[Label]
    withdrawn: Sequence[str]
    """Event ids of labels that hold no more."""
    unchanged: int


def stored_labels(tables: Tables, task: str, origin: str = WEAK) -> list[StoredLabel]:
    """Return all labels of a task and an origin that are stored, withdrawn ones too."""
    own = f"task = {quoted(task)} AND origin = {quoted(origin)}"
    gone = withdrawn_ids(tables, task)
    enriched = set(tables.scan("example_enrichment", ["row_id"], own)["row_id"].to_pylist())
    return [
        StoredLabel(
            row["row_id"], (row["text_sha256"], row["target"], round(row["weight"] or 0.0, 2)), row["row_id"] in gone,
            row["row_id"] in enriched,
        )
        for row in tables.scan("examples", ["row_id", "text_sha256", "target", "weight"], own).to_pylist()
    ]  # fmt: skip


def changes(task: TaskSpec, labels: Sequence[WeakLabel], stored: Sequence[StoredLabel]) -> Changes:
    """Return what is to be sent so that a task has these weak labels and no others."""
    times: Counter[Saying] = Counter(one.says for one in stored if one.withdrawn)
    standing = {one.says[:2]: one for one in stored if not one.withdrawn}
    new, kept = [], set()
    for one in labels:
        says = says_of(task, one)
        before = standing.get(says[:2])
        if before is not None and abs(before.says[2] - says[2]) <= _SAME_WEIGHT + _ROUNDING:
            kept.add(before.event_id)
        else:
            new.append(_event(task, one, says, times[says]))
    gone = sorted(one.event_id for one in stored if not one.withdrawn and one.event_id not in kept)
    return Changes(new, gone, len(kept))


def says_of(task: TaskSpec, label: WeakLabel) -> Saying:
    """Return what a weak label says of which text, and what it weighs in training."""
    weight = max(_LEAST_WEIGHT, round(task.weak_labels.weight * label.probability, 2))
    return label.text.text_sha256, canonical_json(label.target), weight


def withdrawals(task: str, event_ids: Sequence[str], why: str, at: datetime, source: str = SOURCE) -> list[WeakLabelsWithdrawn]:
    """Return the events by which these labels leave training."""
    portions = [tuple(event_ids[start : start + _PER_EVENT]) for start in range(0, len(event_ids), _PER_EVENT)]
    return [
        WeakLabelsWithdrawn(
            event_id=f"weak-gone-{_digest([task, *some])}",
            occurred_at=at,
            source=source,
            task=task,
            event_ids=some,
            reason=why,
        )
        for some in portions
    ]


def _event(task: TaskSpec, label: WeakLabel, says: Saying, times: int) -> Label:
    target: Mapping[str, Any] = json.loads(says[1])
    return Label(
        event_id=f"weak-{_digest([task.name, *map(str, says), str(times)])}", occurred_at=label.text.event_time,
        source=SOURCE, task=task.name, article_id=label.text.article_id, text=label.text.text, target=dict(target),
        origin="weak", weight=says[2],
    )  # fmt: skip


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(parts)).encode()).hexdigest()[:24]
