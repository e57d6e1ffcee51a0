"""What became of a task's labels: changes, one after the other, and the labels that are in force after them. Pure.

Everybody asks this one place: freezing, counting, the desk, the commands and what is told to apps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from config.tasks import TaskSpec

OF_FILE = "task file"
"""What the changes that a task file makes are called; they come last, and nothing but the file undoes them."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change, as somebody asked for it. What it does happens at once, so that two labels may swap their names."""

    change_id: str
    """The id of its event, or `OF_FILE`."""
    at: datetime | None = None
    """None: of the task file, which tells no time."""
    by: str = ""
    reason: str = ""
    renames: Mapping[str, str] = field(default_factory=dict)
    """Old label -> new label; two old ones with one new name are merged."""
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Label -> the narrower ones that take its place, as people decide text by text."""
    retired: tuple[str, ...] = ()
    """Labels that are neither learnt nor answered any more."""
    added: tuple[str, ...] = ()
    """Labels that are known before any text carries them, or known again."""
    undoes: str | None = None
    """The id of the change that it takes back."""

    @property
    def does(self) -> list[str]:
        """Return what it does, in words."""
        names = list(self.renames.values())
        said = [
            f"merge {old} into {new}" if names.count(new) > 1 else f"rename {old} to {new}"
            for old, new in self.renames.items()
            if old != new
        ]
        said += [f"split {old} into {', '.join(new)}" for old, new in self.splits.items()]
        said += [f"retire {label}" for label in self.retired]
        said += [f"add {label}" for label in self.added]
        return said + ([f"undo {self.undoes}"] if self.undoes else [])


@dataclass(frozen=True, slots=True)
class InForce:
    """What all changes come to."""

    renames: Mapping[str, str]
    """Old label -> the name in force."""
    splits: Mapping[str, tuple[str, ...]]
    """Labels, under the names in force, whose rows wait for a person, and what they are split into."""
    retired: frozenset[str]
    added: tuple[str, ...]
    undone: frozenset[str]
    """Ids of the changes that were taken back."""

    @property
    def gone(self) -> frozenset[str]:
        """Labels that no row teaches and no model answers any more."""
        return self.retired | self.splits.keys()


def in_force(history: Sequence[Change]) -> InForce:
    """Return what a history comes to, oldest change first.

    A change that is undone counts as if it had never been made; what undoes it may be undone too. A label that is renamed to,
    split into or added is in use again, whatever was done to it before.
    """
    undone = _undone(history)
    renames: dict[str, str] = {}
    bear: dict[str, set[str]] = {}
    splits: dict[str, tuple[str, ...]] = {}
    retired: set[str] = set()
    added: dict[str, None] = {}
    for change in history:
        if change.change_id in undone:
            continue
        _rename(change.renames, renames, bear)
        added = {change.renames.get(label, label): None for label in added}
        splits = {old: tuple(dict.fromkeys(change.renames.get(one, one) for one in new)) for old, new in splits.items()}
        # What a file says of names holds all the time; an event is somebody's doing, after what was done before.
        for old, name in change.renames.items() if change.change_id != OF_FILE else ():
            if old != name:
                retired -= {old, name}
                splits.pop(old, None)
                splits.pop(name, None)
        for label in change.retired:
            retired.add(label)
            splits.pop(label, None)
            added.pop(label, None)
        for old, parts in change.splits.items():
            splits[old] = parts
            retired -= {old, *parts}
            added.pop(old, None)
            for label in parts:
                splits.pop(label, None)
                added[label] = None
        for label in change.added:
            retired.discard(label)
            splits.pop(label, None)
            added[label] = None
    kept = {old: new for old, new in renames.items() if old != new}
    return InForce(kept, splits, frozenset(retired), tuple(added), undone)


def composed(renames: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return one mapping, old label to the name in force, for mappings that are applied in order.

    What many thousand renames take grows with their number: what bears a name now is looked up, not searched for.
    """
    all_at_once: dict[str, str] = {}
    bear: dict[str, set[str]] = {}
    for mapping in renames:
        _rename(mapping, all_at_once, bear)
    return {old: new for old, new in all_at_once.items() if old != new}


def _rename(mapping: Mapping[str, str], all_at_once: dict[str, str], bear: dict[str, set[str]]) -> None:
    """Apply one mapping; its renames happen at once: two labels may swap their names. `bear` holds what bears each name now."""
    moved: dict[str, set[str]] = {}
    for old, new in mapping.items():
        labels = bear.pop(old, set()) | (set() if old in all_at_once else {old})
        moved.setdefault(new, set()).update(labels)
    for new, labels in moved.items():
        all_at_once |= dict.fromkeys(labels, new)
        bear.setdefault(new, set()).update(labels)


def _undone(history: Sequence[Change]) -> frozenset[str]:
    """Return the changes that are taken back: seen from the newest, so that an undoing that is undone undoes nothing."""
    undone: set[str] = set()
    for change in reversed(history):
        if change.undoes is not None and change.change_id not in undone:
            undone.add(change.undoes)
    return frozenset(undone)


def of_file(task: TaskSpec) -> Change:
    """Return what a task file itself changes."""
    return Change(OF_FILE, renames=task.renames, splits=task.splits, retired=task.retired)


def applied(task: TaskSpec, history: Sequence[Change]) -> TaskSpec:
    """Return a task with the labels in force after a history of events and what its file says.

    `history` holds events alone, and `task` is as its file has it: applying a history twice would rename twice.
    """
    if not history and not (task.splits or task.retired):
        return task
    return with_labels(task, in_force((*history, of_file(task))))


def with_labels(task: TaskSpec, now: InForce) -> TaskSpec:
    """Return a task with these labels in force. A closed one takes no label but those of its file."""
    declared: Sequence[str] = task.label_names
    if task.labels == "open":
        more = (label for label in now.added if label not in task.training.exclude_labels)
        declared = (*(now.renames.get(label, label) for label in task.label_names), *more)
    never = now.gone.union(task.training.exclude_labels)
    # A closed task without a label could not be read any more.
    names = tuple(label for label in dict.fromkeys(declared) if label not in never) or task.label_names
    update: dict[str, Any] = {
        "renames": dict(now.renames), "label_names": names,
        "splits": {label: parts for label, parts in now.splits.items() if label not in names},
        "retired": tuple(sorted(now.retired.difference(names))),
    }  # fmt: skip
    return task.model_copy(update=update)
