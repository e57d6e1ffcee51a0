"""The target of a row as a task reads it now: renamed, of its kind, and without labels that are gone."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from config.kinds import catalog as kinds
from config.kinds.kind import ExcludesLabels, Measures
from config.tasks import TaskSpec
from consumers.rows.arriving.event_rows import canonical_json
from consumers.rows.labels.renames import renamed
from consumers.training_set.scopes import labels_of

_PLAIN = re.compile(r"(?:[!-\[\]-~]|(?<=[!#-~]) (?=[!#-~]))*")
"""Targets whose labels need no normalization, whatever version stored them."""


def _renamed(target: str, renames: Sequence[Mapping[str, str]]) -> str:
    """Return a target (JSON) under the names that renames, applied in order, give to its labels."""
    # Most targets are plain ASCII, which no version ever wrote otherwise.
    return target if not any(renames) and _PLAIN.fullmatch(target) else canonical_json(renamed(json.loads(target), renames))


def usable_target(target: str, task: TaskSpec, renames: Sequence[Mapping[str, str]]) -> str | None:
    """Return a target (JSON) with the renames applied; None where it does not fit the task's kind, which may have changed."""
    kind = kinds.get(task.kind)
    try:
        # By its shape alone: what an earlier version accepted as a label is not the fault of the row.
        if not kind.fits(parsed := json.loads(target)):
            return None
        if isinstance(kind, Measures):
            left = kind.restricted(parsed, task.declared)
            return None if left is None else canonical_json(left)
        return _renamed(target, renames)
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


def accepted(target: str, task: TaskSpec, left_out: Counter[str]) -> str | None:
    """Return a target (JSON) without labels that the task excludes; None, and counted, where it may not be learnt."""
    excluded, kind = task.training.exclude_labels, kinds.get(task.kind)
    if task.gone and (target_left := _without_those_gone(target, task, left_out)) != target:
        if target_left is None:
            return None
        target = target_left
    if excluded and isinstance(kind, ExcludesLabels) and not labels_of(target).isdisjoint(excluded):
        found = kind.without(json.loads(target), excluded)
        if found is None:
            left_out["label is excluded (training.exclude_labels)"] += 1
            return None
        target = canonical_json(found)
    if task.labels == "closed" and not labels_of(target) <= set(task.label_names):
        left_out["label is no longer accepted"] += 1
        return None
    return target


def _without_those_gone(target: str, task: TaskSpec, left_out: Counter[str]) -> str | None:
    """Return a target without labels that were retired; None, and counted, where nothing is left or a person must look again."""
    carried = labels_of(target)
    if waits := sorted(carried.intersection(task.splits)):
        left_out[f"label {waits[0]} was split, and nobody has said yet which part it is (lane `changed` of the desk)"] += 1
        return None
    if carried.isdisjoint(task.retired):
        return target
    kind = kinds.get(task.kind)
    left = kind.without(json.loads(target), task.retired) if isinstance(kind, ExcludesLabels) else None
    if left is None:
        left_out["label is retired"] += 1
        return None
    return canonical_json(left)
