"""What ingest and a run need of the buffer: each knows it by these few methods, wherever it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from config.tasks import TaskSpec
from consumers.rows.arriving.event_rows import Stored
from consumers.rows.arriving.insertion import InsertOutcome
from consumers.training_set.snapshot import TrainingSet


class EventStore(Protocol):
    """Takes what ingest has read from the log."""

    def insert(self, batch: Sequence[Stored]) -> InsertOutcome:
        """Store the new events of a batch; not durable before `sync`. Insert-only: what is there is never overwritten.

        Raises `StopError` where another leader has taken the buffer over: then nothing of the batch is stored.
        """
        ...

    def sync(self) -> None:
        """Make everything stored so far durable; positions may be committed after this. Raises OSError."""
        ...

    def check(self) -> None:
        """Raise what the store raises when it cannot be read: then a failed insert is not an event's fault."""
        ...


class TrainingSetSource(Protocol):
    """Freezes what a run learns from."""

    def freeze(
        self, task: TaskSpec, *, run_id: str, folder: Path, learnt: frozenset[str], max_rows: int | None = None,
        embeddings: bool = True,
    ) -> TrainingSet:  # fmt: skip
        """Write the task's training set into the new folder `folder`; `learnt` are the example ids in the champion's lineage.

        What is stored afterwards changes nothing in it. Without `embeddings` that column is empty.
        """
        ...

    def embeddings_of(self, task: str, example_ids: Sequence[str]) -> pa.Table:
        """Return `example_id`, `embedding` and `encoder_id` of the examples of a task that have an embedding, in any order."""
        ...
