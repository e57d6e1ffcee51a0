"""Changes of labels that make no sense, in words. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from config.task_files.labels.label_changes import OF_FILE, Change, InForce, in_force

if TYPE_CHECKING:
    from config.tasks import TaskSpec

_FEWEST_PARTS = 2
"""Of a split: one is a rename."""


def problem(change: Change, history: Sequence[Change], known: Iterable[str]) -> str | None:
    """Return why a change of the labels `known` today makes no sense after a history; None where it does.

    `known` are the labels under the names in force that rows carry or that are declared, those that are retired or split too.
    """
    now = in_force(history)
    if change.undoes is not None:
        return _no_undoing(change.undoes, history, now)
    return next(_problems(change, now, frozenset(known)), None)


def _no_undoing(undoes: str, history: Sequence[Change], now: InForce) -> str | None:
    if undoes == OF_FILE:
        return "what the task file says is undone in the task file"
    if undoes not in {change.change_id for change in history}:
        return f"there is no change {undoes!r} of this task's labels"
    if undoes in now.undone:
        return f"{undoes!r} is undone already; to have it again, undo what undid it, or make the change anew"
    return None


def _problems(change: Change, now: InForce, known: Collection[str]) -> Iterator[str]:
    yield from _of_itself(change)
    touched = [*change.renames, *change.splits, *change.retired]
    for label in sorted({label for label in touched if touched.count(label) > 1}):
        yield f"{label!r} is changed in two ways at once; make one change after the other"
    for label in touched:
        yield from _of_a_label(label, now, known, may_be_split=label in change.renames)
    for label in change.added:
        if label in known and label not in now.gone:
            yield f"{label!r} is a label already"


def _of_itself(change: Change) -> Iterator[str]:
    for old, new in change.renames.items():
        if old == new:
            yield f"{old!r} cannot be renamed to, or merged into, itself"
    for old, parts in change.splits.items():
        if old in parts:
            yield f"{old!r} cannot be split into itself: give what is left of it another name"
        if len(set(parts)) < _FEWEST_PARTS:
            yield f"{old!r} is split into at least two labels; to give it one other name, rename it"
    if not change.does:
        yield "nothing would change"


def _of_a_label(label: str, now: InForce, known: Collection[str], *, may_be_split: bool) -> Iterator[str]:
    if label in now.renames and label not in known:
        yield f"{label!r} is called {now.renames[label]!r} now; change that"
    if label in now.retired:
        yield f"{label!r} is retired already; add it first to use it again"
    if label in now.splits and not may_be_split:
        yield f"{label!r} is split already; undo that, or rename what is left of it"
    if label not in known:
        yield f"no row carries {label!r} and nobody has declared it; the labels are {', '.join(sorted(known)) or 'none'}"


def misfit(task: TaskSpec) -> str | None:
    """Return what a task file says of its labels that cannot be; None where nothing."""
    return next(_misfits(task), None)


def _misfits(task: TaskSpec) -> Iterator[str]:
    for old in sorted(old for old, new in task.renames.items() if old == new):
        yield f"renames gives {old!r} its own name; remove that line"
    for old, parts in task.splits.items():
        if old in parts or len(set(parts)) < _FEWEST_PARTS:
            yield f"splits gives {old!r} {', '.join(parts) or 'nothing'}; name at least two labels other than {old!r}"
        for label in sorted(set(parts).difference(task.label_names)) if task.labels == "closed" else ():
            yield f"splits gives {label!r}, which label_names of a closed task must hold; add it there"
    for key, labels in (("splits", task.splits), ("retired", task.retired)):
        for label in sorted(set(labels).intersection(task.label_names)):
            yield f"{key} holds {label!r}, which label_names declares; remove it from one of them"
    for label in sorted(set(task.splits).intersection(task.retired)):
        yield f"{label!r} is in splits and in retired; keep one"
