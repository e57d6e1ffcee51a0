"""The texts that test a task: an oracle that is asked about them can be judged by what is right, and teaches nothing by it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from config.tasks import TaskSpec
from consumers.rows.labels.renames import in_force
from consumers.tables.lance import Snapshot
from consumers.training_set.freezing import ENRICHMENT, candidates
from consumers.training_set.selection import select


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A text of the test side."""

    example_id: str
    """The label that counts."""
    text_sha256: str
    text: str
    target: Mapping[str, Any]
    """What is right, under the labels in force."""
    event_time: datetime
    story_id: str
    document_id: str | None


def held_out(snapshot: Snapshot, task: TaskSpec, *, min_quality: float) -> list[HeldOut]:
    """Return the texts that would decide a comparison now, if no model had learnt any of them; newest first, each once."""
    task = in_force(snapshot, task)
    chosen = select(candidates(snapshot, task), task, renames=(), learnt=frozenset(), min_quality=min_quality, max_rows=1)
    ids = [example_id for example_id, row in chosen.rows.items() if row.role == "test"]
    texts = snapshot.lookup("examples", "row_id", ids, ["row_id", "text", "text_sha256", "event_time"]).to_pylist()
    rows = snapshot.lookup(ENRICHMENT, "row_id", ids, ["row_id", "story_id"]).to_pylist()
    story = {row["row_id"]: row["story_id"] for row in rows}
    found = [
        HeldOut(
            row["row_id"], row["text_sha256"], row["text"], json.loads(chosen.rows[row["row_id"]].target), row["event_time"],
            story.get(row["row_id"]) or row["row_id"], chosen.rows[row["row_id"]].document,
        )
        for row in texts
    ]  # fmt: skip
    return sorted(found, key=lambda one: (one.event_time, one.example_id), reverse=True)
