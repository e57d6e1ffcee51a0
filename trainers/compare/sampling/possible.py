"""What may be right of a text of which nobody could tell: the answers between which the gain of a pair is bounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from trainers.compare.metrics.metric import Target

Possible = Sequence[Sequence[Target]]
"""Of each of some rows the targets that it may have, both models' answers first."""


def possible(task: TaskSpec, gold: Sequence[Target | None], candidate: Sequence[Target], opponent: Sequence[Target]) -> Possible:
    """Return what may be right of each row, in the order of the rows; of a row with a `gold` target nothing.

    Beside what both models say: of one label a text each label that any row shows; of several labels none, all that both say, and
    each label alone; of entities none; of numbers the ends of each range, away from one model and away from the other.
    """
    kind = kinds.get(task.kind)
    seen = sorted({name for side in (gold, candidate, opponent) for one in side if one is not None for name in kind.labels(one)})
    return [
        [ours, theirs, *_others(task, ours, theirs, seen)] if target is None else ()
        for target, ours, theirs in zip(gold, candidate, opponent, strict=True)
    ]


def _others(task: TaskSpec, ours: Target, theirs: Target, seen: Sequence[str]) -> list[dict[str, Any]]:
    if task.dimensions:
        return [_away(task, ours, theirs), _away(task, theirs, ours)]
    if "label" in ours:
        return [{"label": name} for name in seen]
    if "labels" in ours:
        both = sorted({*ours["labels"], *theirs["labels"]})
        return [{"labels": []}, {"labels": both}, *({"labels": [name]} for name in seen)]
    return [{"entities": []}] if "entities" in ours else []


def _away(task: TaskSpec, one: Target, other: Target) -> dict[str, Any]:
    """Return the numbers, within their ranges, from which `one` is further away than `other` by as much as can be."""
    values = {}
    for dimension in task.dimensions:
        here, there = one["values"].get(dimension.name), other["values"].get(dimension.name)
        if here is not None and there is not None:
            values[dimension.name] = dimension.low if here >= there else dimension.high
    return {"values": values}
