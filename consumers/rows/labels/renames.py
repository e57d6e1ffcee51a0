"""The labels of a task that are in force: what its file says, and the changes that events made, one after the other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from config.foreign.labels import label_of_stored
from config.kinds import catalog as kinds
from config.task_files.labels.label_changes import Change, applied
from config.tasks import TaskSpec
from consumers.tables.columns import quoted
from consumers.tables.lance import Snapshot, Tables


def history(tables: Tables | Snapshot, task: str) -> list[Change]:
    """Return the changes of a task's labels that events asked for, oldest first."""
    where = f"kind = 'task_schema' AND task = {quoted(task)}"
    asked = tables.scan("requests", ["body", "event_time", "event_id"], where)
    ordered = asked.sort_by([("event_time", "ascending"), ("event_id", "ascending")])
    return [
        change_of(event_id, at, json.loads(body))
        for event_id, at, body in zip(*(ordered[name].to_pylist() for name in ("event_id", "event_time", "body")), strict=True)
    ]


def in_force(tables: Tables | Snapshot, task: TaskSpec) -> TaskSpec:
    """Return a task, as its file has it, with the labels in force: renames, splits, retired and declared ones."""
    return applied(task, history(tables, task.name))


def change_of(event_id: str, at: datetime, body: Mapping[str, Any]) -> Change:
    """Return the change that an event's stored body asks for."""
    return Change(
        event_id,
        at.astimezone(UTC),
        by=body.get("source") or "",
        reason=body.get("reason") or "",
        renames={label_of_stored(old): label_of_stored(new) for old, new in (body.get("renames") or {}).items()},
        splits={label_of_stored(old): tuple(map(label_of_stored, new)) for old, new in (body.get("splits") or {}).items()},
        retired=tuple(map(label_of_stored, body.get("retired") or ())),
        added=tuple(map(label_of_stored, body.get("added") or ())),
        undoes=body.get("undoes"),
    )


def renamed(target: Mapping[str, Any], renames: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return a stored target under the names that mappings, applied in order, give to its labels.

    Labels that an earlier version told apart though they look alike get one name. Raises `LookupError` for a target of no kind.
    """

    def in_force(old: str) -> str:
        name = label_of_stored(old)
        for mapping in renames:
            name = mapping.get(name, name)
        return name

    return kinds.of(target).renamed(target, in_force)


class Renames:
    """The renames in force when it was made."""

    def __init__(self, tables: Tables, tasks: Mapping[str, TaskSpec]) -> None:
        self._tables = tables
        self._tasks = tasks
        self._known: dict[str, Mapping[str, str]] = {}

    def applied(self, task: str, target: str) -> dict[str, Any]:
        """Return a target (JSON) of a task under the names in force."""
        if task not in self._known:
            self._known[task] = in_force(self._tables, self._tasks[task]).renames if task in self._tasks else {}
        return renamed(json.loads(target), (self._known[task],))
