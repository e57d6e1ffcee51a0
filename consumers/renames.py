"""Renames of labels, made one after the other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from consumers.lance_tables import Snapshot, Tables
from consumers.tables import quoted


def asked_for(tables: Tables | Snapshot, task: str) -> list[Mapping[str, str]]:
    """Return the renames that events asked for, oldest first."""
    where = f"kind = 'task_schema' AND task = {quoted(task)}"
    asked = tables.scan("requests", ["body", "event_time", "event_id"], where)
    ordered = asked.sort_by([("event_time", "ascending"), ("event_id", "ascending")])
    return [json.loads(body)["renames"] for body in ordered["body"].to_pylist()]


def composed(renames: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return one mapping, old label to the name in force, for mappings that are applied in order."""
    all_at_once: dict[str, str] = {}
    for mapping in renames:
        all_at_once = {**mapping, **{old: mapping.get(new, new) for old, new in all_at_once.items()}}
    return {old: new for old, new in all_at_once.items() if old != new}
