"""What a run takes for learnt: the rows that are no news to its champion."""

from __future__ import annotations

from config.tasks import TaskSpec
from registry.store import Registry
from trainers.learners.catalog import refreshes_from_features


def learnt_before(registry: Registry, champion: str, task: TaskSpec, *, refresh: bool) -> frozenset[str]:
    """Return the ids of the examples that a run from this champion takes for learnt.

    A run that sees new rows often and older ones once takes what only refreshes have learnt for new: they left what is below the
    head as it was. One whose kind learns from all rows, or from features, takes them as they are.
    """
    version = registry.versions.get(champion)
    if not refresh and not refreshes_from_features(task.kind, task.backend):
        while version.parent is not None and version.lineage.settings.get("refresh"):
            version = registry.versions.get(version.parent)
    return registry.versions.learnt(version.name)
