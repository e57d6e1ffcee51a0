"""Which keys of a task file fit a kind that measures dimensions, and which fit others only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.kinds.regression.dimensions import wrong

if TYPE_CHECKING:
    from config.tasks import TaskSpec


def misfit(task: TaskSpec, *, measured: bool) -> str | None:
    """Return, in words, which keys do not fit a kind that measures dimensions, or one that does not; None where all do."""
    if not measured:
        given = [key for key, value in (("dimensions", task.dimensions), ("tiers", task.tiers)) if value]
        return f"{given[0]} is for kinds that measure; kind {task.kind} has labels; remove it" if given else None
    if not task.dimensions:
        return f"kind {task.kind} needs dimensions; write e.g. `dimensions: [{{name: valence, low: 1, high: 5}}]`"
    if task.label_names or task.renames or task.labels == "closed":
        return f"kind {task.kind} has no labels; remove labels, label_names and renames"
    if task.training.feature_blocks or task.training.contradicted_weight < 1.0:
        return "training.feature_blocks and training.contradicted_weight are for labels; remove them"
    names = [f"dimension:{dimension.name}" for dimension in task.dimensions]
    guarded = (guard.slice for guard in task.promotion.slices if guard.slice.startswith("dimension:"))
    if (unknown := next((name for name in guarded if name not in names), None)) is not None:
        return f"promotion.slices guards {unknown}, which is not measured; choose one of {', '.join(names)}"
    return wrong(task.dimensions, task.tiers)
