"""The anchor set of a task: what is in it, what an import would share with training, and how it is built by default.

Without an import the oldest held-out documents become it, once they are older than the window that decides. A row that has
joined never leaves: its split says `anchor` from then on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.tasks import TaskSpec
from consumers.rows.documents import document_of
from consumers.rows.eligibility import INDEPENDENT
from consumers.rows.labels.renames import in_force
from consumers.tables.columns import quoted
from consumers.tables.lance import Snapshot
from consumers.training_set.scopes import labels_of
from consumers.training_set.targets import usable_target

READ = ("examples", "example_enrichment", "requests")
BUILT = "the oldest held-out documents"
"""Where rows came from that nobody imported."""
_NAMES = ("row_id", "document_id", "article_id", "text_sha256")


@dataclass(frozen=True, slots=True)
class AnchorPart:
    """Rows of an anchor set that came from one place."""

    origin: str
    """What their labels name as source, such as the file they were imported from, or `BUILT`."""
    rows: int
    documents: int
    oldest: datetime
    """Event time."""
    newest: datetime
    since: datetime
    """When the first of them came into the buffer."""


@dataclass(frozen=True, slots=True)
class Tied:
    """What rows of an anchor file share with rows that train."""

    documents: frozenset[str]
    texts: frozenset[str]
    """SHA-256."""
    labels: frozenset[str]
    """All labels that the task's rows carry, or its file names, under the names in force."""
    renames: Mapping[str, str]
    """Old label -> the name in force."""
    rows: int
    """Enriched rows of the task."""


def parts_of(snapshot: Snapshot, task: str) -> list[AnchorPart]:
    """Return the anchor rows of a task by where they came from, those with most rows first."""
    placed = snapshot.scan("example_enrichment", ["row_id", "anchor", "stored_at"], f"task = {quoted(task)} AND split = 'anchor'")
    facts = snapshot.scan("examples", [*_NAMES, "source", "event_time"], f"task = {quoted(task)}")
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in placed.join(facts, "row_id", join_type="inner").to_pylist():
        found[(row["source"] or "an event without a source") if row["anchor"] else BUILT].append(row)
    parts = (
        AnchorPart(
            origin, len(rows), len({_document(row) for row in rows}), min(row["event_time"] for row in rows),
            max(row["event_time"] for row in rows), min(row["stored_at"] for row in rows),
        )
        for origin, rows in found.items()
    )  # fmt: skip
    return sorted(parts, key=lambda part: (-part.rows, part.origin))


def tied_to_training(snapshot: Snapshot, task: TaskSpec, *, documents: Collection[str], texts: Collection[str]) -> Tied:
    """Return which of these documents and texts rows that train have, and which labels the task's rows carry."""
    own = f"task = {quoted(task.name)}"
    enriched = snapshot.scan("example_enrichment", ["row_id", "split"], f"{own} AND verdict IS NULL")
    targets = snapshot.scan("examples", [*_NAMES, "target"], f"{own} AND verdict IS NULL")
    task = in_force(snapshot, task)
    wanted, wanted_texts = set(documents), set(texts)
    shared: set[str] = set()
    equal: set[str] = set()
    labels = set(task.label_names)
    for row in enriched.join(targets, "row_id", join_type="inner").to_pylist():
        if (target := usable_target(row["target"], task, (task.renames,))) is not None:
            labels |= labels_of(target)
        if row["split"] == "train":
            shared.update(wanted & {document_of(row["document_id"], row["article_id"]) or ""})
            equal.update(wanted_texts & {row["text_sha256"]})
    return Tied(frozenset(shared), frozenset(equal), frozenset(labels), task.renames, enriched.num_rows)


def oldest_held_out(snapshot: Snapshot, task: TaskSpec) -> dict[str, str]:
    """Return the rows that join the anchor set now, with the reason; none where somebody imported one, or it is full.

    Whole documents, the oldest first, whose rows are all older than the window that decides, and only as long as the window has
    the rows that a verdict needs: what an archive is judged on must not go.
    """
    own = f"task = {quoted(task.name)} AND verdict IS NULL AND split IN ('test', 'anchor')"
    placed = snapshot.scan("example_enrichment", ["row_id", "split", "selected_by", "anchor", "event_time"], own)
    anchored = placed.filter(pc.equal(placed["split"], "anchor"))
    room = task.promotion.anchor_rows - anchored.num_rows
    deciding = placed.filter(
        pc.and_(pc.equal(placed["split"], "test"), pc.is_in(placed["selected_by"], value_set=pa.array(INDEPENDENT, pa.string())))
    )
    if room <= 0 or pc.any(anchored["anchor"]).as_py() or not deciding.num_rows:
        return {}
    start = pc.max(deciding["event_time"]).as_py() - timedelta(days=task.promotion.window_days)
    recent = np.asarray(pc.greater_equal(deciding["event_time"], pa.scalar(start, deciding["event_time"].type)).to_numpy())
    if np.count_nonzero(recent) < task.promotion.min_test_examples:
        return {}
    names = snapshot.scan("examples", list(_NAMES), f"task = {quoted(task.name)} AND verdict IS NULL")
    rows = deciding.join(names, "row_id", join_type="inner").to_pylist()
    return dict.fromkeys(_oldest(rows, start, room), f"{BUILT} measure forgetting")


def _oldest(rows: list[dict[str, Any]], start: datetime, room: int) -> Iterator[str]:
    """Yield rows of whole documents that lie before `start`, the oldest documents first, while there is `room`."""
    documents: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        documents[_document(row)].append(row)
    newest = {name: max(row["event_time"] for row in own) for name, own in documents.items()}
    for name in sorted(documents, key=lambda name: (newest[name], name)):
        if newest[name] >= start or room <= 0:
            return
        yield from (row["row_id"] for row in documents[name])
        room -= len(documents[name])


def _document(row: Mapping[str, Any]) -> str:
    return document_of(row["document_id"], row["article_id"]) or f"text {row['text_sha256']}"
