"""Renames of labels, made one after the other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from config.foreign.labels import label_of_stored
from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from consumers.tables.columns import quoted
from consumers.tables.lance import Snapshot, Tables


def asked_for(tables: Tables | Snapshot, task: str) -> list[Mapping[str, str]]:
    """Return the renames that events asked for, oldest first."""
    where = f"kind = 'task_schema' AND task = {quoted(task)}"
    asked = tables.scan("requests", ["body", "event_time", "event_id"], where)
    ordered = asked.sort_by([("event_time", "ascending"), ("event_id", "ascending")])
    return [_of_stored(json.loads(body)["renames"]) for body in ordered["body"].to_pylist()]


def _of_stored(renames: Mapping[str, str]) -> dict[str, str]:
    return {label_of_stored(old): label_of_stored(new) for old, new in renames.items()}


def composed(renames: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return one mapping, old label to the name in force, for mappings that are applied in order.

    What many thousand renames take grows with their number: what bears a name now is looked up, not searched for.
    """
    all_at_once: dict[str, str] = {}
    bear: dict[str, set[str]] = {}
    for mapping in renames:
        # Those of one mapping happen at once: two labels may swap their names.
        moved: dict[str, set[str]] = {}
        for old, new in mapping.items():
            labels = bear.pop(old, set()) | (set() if old in all_at_once else {old})
            moved.setdefault(new, set()).update(labels)
        for new, labels in moved.items():
            all_at_once |= dict.fromkeys(labels, new)
            bear.setdefault(new, set()).update(labels)
    return {old: new for old, new in all_at_once.items() if old != new}


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
            of_file = self._tasks[task].renames if task in self._tasks else {}
            self._known[task] = composed((*asked_for(self._tables, task), of_file))
        return renamed(json.loads(target), (self._known[task],))
