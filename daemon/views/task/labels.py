"""A task's labels with what became of them: those in force, how many rows carry each, and every change."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from config.kinds import catalog as kinds
from config.kinds.kind import Measures
from config.task_files.labels.label_changes import applied, in_force, of_file
from config.tasks import TaskSpec
from daemon.views.view import View

if TYPE_CHECKING:  # brings LanceDB
    from consumers.buffer.reader import BufferReader

State = Literal["in use", "declared", "split", "retired"]


class Label(View):
    """One label."""

    name: str
    state: State
    """`declared`: no row carries it yet; `split`: its rows wait at the desk; `retired`: its rows are left out."""
    rows: Mapping[str, int]
    """By side."""
    was: tuple[str, ...]
    """What it was called before."""
    into: tuple[str, ...]
    """What it was split into."""


class LabelChange(View):
    """One change."""

    change_id: str
    """The id by which it is undone; `task file` where that says it."""
    at: datetime | None
    by: str
    reason: str
    does: tuple[str, ...]
    """In words."""
    undone: bool


class Labels(View):
    """All labels of a task."""

    task: str
    kind: str
    labels: tuple[Label, ...]
    """Those in use first, the most frequent first."""
    measured: tuple[str, ...]
    """Dimensions, or categories of signals, where the task has these in the place of labels."""
    changes: tuple[LabelChange, ...]
    """Oldest first."""

    @property
    def known(self) -> tuple[str, ...]:
        """The labels that may be changed."""
        return tuple(one.name for one in self.labels)


_ORDER: tuple[State, ...] = ("in use", "declared", "split", "retired")


def labels(task: TaskSpec, buffer: BufferReader | None) -> Labels:
    """Return the labels of a task, as its file has it; without a buffer what the file alone says."""
    history = buffer.label_changes(task.name) if buffer else []
    now, spec = in_force((*history, of_file(task))), applied(task, history)
    counts = buffer.label_counts(task) if buffer else {}
    was: dict[str, list[str]] = {}
    for old, new in now.renames.items():
        was.setdefault(new, []).append(old)
    names = dict.fromkeys((*counts, *spec.label_names, *now.splits, *sorted(now.retired)))
    found = [
        Label(
            name=name, state=_state(name, spec, counted=name in counts), rows=counts.get(name, {}),
            was=tuple(sorted(was.get(name, ()))), into=now.splits.get(name, ()),
        )
        for name in names
    ]  # fmt: skip
    found.sort(key=lambda one: (_ORDER.index(one.state), -sum(one.rows.values()), one.name))
    kind = kinds.get(task.kind)
    own = of_file(task)
    return Labels(
        task=task.name, kind=task.kind, labels=tuple(found),
        measured=tuple(one.name for one in task.declared) if isinstance(kind, Measures) else (),
        changes=tuple(
            LabelChange(
                change_id=one.change_id, at=one.at, by=one.by, reason=one.reason, does=tuple(one.does),
                undone=one.change_id in now.undone,
            )
            for one in (*history, *([own] if own.does else []))
        ),
    )  # fmt: skip


def _state(name: str, spec: TaskSpec, *, counted: bool) -> State:
    if name in spec.splits:
        return "split"
    if name in spec.retired:
        return "retired"
    return "in use" if counted else "declared"
