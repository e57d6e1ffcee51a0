"""How many rows carry each label of a task, by side, under the names in force; those that were retired or split too."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping

from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from consumers.rows.labels.renames import in_force
from consumers.tables.columns import quoted
from consumers.tables.lance import Snapshot
from consumers.training_set.targets import usable_target

READ = ("examples", "example_enrichment", "requests")


def label_counts(snapshot: Snapshot, task: TaskSpec) -> dict[str, Mapping[str, int]]:
    """Return label -> side (`train`, `test`, `anchor`, `dropped`, or `waiting`: not enriched) -> rows of labels, by name."""
    task = in_force(snapshot, task)
    kind, own = kinds.get(task.kind), f"task = {quoted(task.name)} AND verdict IS NULL"
    sides = snapshot.scan("example_enrichment", ["row_id", "split"], own)
    rows = snapshot.scan("examples", ["row_id", "target"], own).join(sides, "row_id", join_type="left outer")
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for batch in rows.to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            target = usable_target(row["target"], task, (task.renames,))
            for label in set(kind.labels(json.loads(target))) if target is not None else ():
                found[label][row["split"] or "waiting"] += 1
    return dict(sorted(found.items()))
