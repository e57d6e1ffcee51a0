"""What others than the one whose label counts say of the texts of a training set's test rows: the oracle, and a second person."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from config.tasks import TaskSpec
from consumers.rows.eligibility import OF_PEOPLE
from consumers.rows.labels.renames import in_force
from consumers.tables.columns import is_one_of, quoted
from consumers.tables.lance import Snapshot
from consumers.training_set.targets import accepted, usable_target

READ = ("examples", "requests")
_COLUMNS = ["row_id", "text_sha256", "annotator", "target", "settles", "stored_seq"]


def second_people(snapshot: Snapshot, task: TaskSpec, counting: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return what a second person says of texts, as targets by SHA-256. `counting`: by text the example whose label counts.

    The person has a name, another than whoever gave the label that counts, and was not asked to settle a difference: whoever
    settles has seen what others say. Of several the first to speak; what one of them says is what a person is worth.
    """
    who = snapshot.lookup("examples", "row_id", list(counting.values()), ["row_id", "annotator"])
    annotator = dict(zip(who["row_id"].to_pylist(), who["annotator"].to_pylist(), strict=True))
    named = f"task = {quoted(task.name)} AND verdict IS NULL AND annotator IS NOT NULL AND {is_one_of('selected_by', OF_PEOPLE)}"
    rows = snapshot.scan("examples", _COLUMNS, named)
    rows = rows.filter(pc.is_in(rows["text_sha256"], value_set=pa.array(list(counting), pa.string()))).sort_by("stored_seq")
    task = in_force(snapshot, task)
    found: dict[str, dict[str, Any]] = {}
    for row in rows.to_pylist():
        of_text = counting[row["text_sha256"]]
        if row["settles"] or row["row_id"] == of_text or row["annotator"] == annotator.get(of_text):
            continue
        target = in_force_target(row["target"], task)
        if target is not None and not target.get("partial"):
            found.setdefault(row["text_sha256"], target)
    return found


def in_force_target(target: str, task: TaskSpec) -> dict[str, Any] | None:
    """Return a stored target (JSON) under the labels in force of `task`, which has them; None where it fits no more."""
    usable = usable_target(target, task, (task.renames,))
    left = None if usable is None else accepted(usable, task, Counter())
    return None if left is None else json.loads(left)
