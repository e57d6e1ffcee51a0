"""Which keys of a task file fit a kind whose targets speak of what the task declares, and which fit others only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.kinds.regression import dimensions
from config.kinds.signals import categories

if TYPE_CHECKING:
    from config.tasks import TaskSpec

_SLICES = {"dimensions": "dimension:", "signals": "signal:"}
"""By what a kind declares, what the names of slices begin with that hold one part of it."""
_EXAMPLES = {
    "dimensions": "dimensions: [{name: valence, low: 1, high: 5}]",
    "signals": "signals: [{name: crime, tags: [{name: theft, score: -0.5}]}]",
}


def misfit(task: TaskSpec, declares: str | None) -> str | None:
    """Return, in words, which keys do not fit a kind that declares something under `declares`, or nothing; None where all do."""
    foreign = [key for key in _SLICES if key != declares and getattr(task, key)]
    foreign += ["tiers"] if task.tiers and declares != "dimensions" else []
    if declares is None:
        return f"{foreign[0]} is for kinds that measure; kind {task.kind} has labels; remove it" if foreign else None
    if foreign:
        return f"{foreign[0]} does not fit kind {task.kind}; remove it"
    if not task.declared:
        # A kind of a module's own may declare nothing that a task file can hold.
        return f"kind {task.kind} needs {declares}; write e.g. `{_EXAMPLES[declares]}`" if declares in _EXAMPLES else None
    return _for_labels(task) or _unknown_slice(task, _SLICES[declares]) or _wrong(task, declares)


def _for_labels(task: TaskSpec) -> str | None:
    if task.label_names or task.renames or task.splits or task.retired or task.labels == "closed":
        return f"kind {task.kind} has no labels; remove labels, label_names, renames, splits and retired"
    return None


def _unknown_slice(task: TaskSpec, begins: str) -> str | None:
    names = [f"{begins}{one.name}" for one in task.declared]
    guarded = (guard.slice for guard in task.promotion.slices if guard.slice.startswith(begins))
    if (unknown := next((name for name in guarded if name not in names), None)) is not None:
        return f"promotion.slices guards {unknown}, which is not measured; choose one of {', '.join(names)}"
    return None


def _wrong(task: TaskSpec, declares: str) -> str | None:
    return dimensions.wrong(task.dimensions, task.tiers) if declares == "dimensions" else categories.wrong(task.signals)
