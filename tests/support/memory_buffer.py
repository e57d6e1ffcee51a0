"""A second buffer, in memory: labels that bring their text, once each, and the training sets that they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from config.tasks import TaskSpec
from consumers.events.schemas import Label, content_sha256
from consumers.rows.arriving.event_rows import Stored, canonical_json
from consumers.rows.arriving.insertion import Conflict, InsertOutcome
from consumers.training_set.selection import Candidate, select
from consumers.training_set.snapshot import SCHEMA, TrainingSet, write_training_set
from tests.support.buffers import NOW


class MemoryBuffer:
    """Stores in a dictionary. `split` says on which side a label stands."""

    def __init__(self, split: Callable[[Label], str]) -> None:
        self._split = split
        self._stored: dict[str, Stored] = {}

    def insert(self, batch: Sequence[Stored]) -> InsertOutcome:
        """Keep the first event of every id."""
        inserted, conflicts = 0, []
        for one in batch:
            inserted += one.event.event_id not in self._stored
            kept = self._stored.setdefault(one.event.event_id, one)
            if kept.event != one.event:
                conflicts.append(Conflict(one, f"event_id: {one.event.event_id} is taken by another event; send a new id"))
        return InsertOutcome(inserted, len(batch) - inserted - len(conflicts), tuple(conflicts))

    def sync(self) -> None:
        """Do nothing: memory does not last."""

    def check(self) -> None:
        """Do nothing: memory can be read."""

    def freeze(
        self, task: TaskSpec, *, run_id: str, folder: Path, learnt: frozenset[str], max_rows: int | None = None,
        embeddings: bool = True,
    ) -> TrainingSet:  # fmt: skip
        """Write the training set of the labels that are stored."""
        labels = [one.event for one in self._stored.values() if isinstance(one.event, Label) and one.event.task == task.name]
        chosen = select(
            [self._candidate(label) for label in labels], task, renames=(), learnt=learnt, min_quality=0.0,
            max_rows=max_rows or task.training.max_rows,
        )  # fmt: skip
        rows = [
            {
                "example_id": label.event_id, "text": label.text, "target": row.target, "weight": row.weight,
                "origin": label.origin, "selected_by": label.origin, "story_id": label.event_id,
                "event_time": label.occurred_at, "language": "en", "is_new": row.is_new, "role": row.role,
            }
            for label in labels
            if (row := chosen.rows.get(label.event_id)) is not None
        ]  # fmt: skip
        return write_training_set(
            folder, pa.Table.from_pylist(rows, schema=SCHEMA), run_id=run_id, task=task.name, created_at=NOW, max_seq=len(labels),
            table_versions={}, labels=chosen.labels, left_out=chosen.left_out, waiting=chosen.waiting,
        )  # fmt: skip

    def embeddings_of(self, task: str, example_ids: Sequence[str]) -> pa.Table:
        """Return no row."""
        return SCHEMA.empty_table().select(["example_id", "embedding", "encoder_id"])

    def _candidate(self, label: Label) -> Candidate:
        return Candidate(
            example_id=label.event_id, event_time=label.occurred_at, text_sha256=content_sha256(label.text or ""),
            target=canonical_json(label.target), origin=label.origin, selected_by=label.origin, verdict=None,
            split=self._split(label), quality=1.0,
        )  # fmt: skip
