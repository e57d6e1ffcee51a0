"""In which stratum a text stands by rules or by what a model answered, and by which names it is drawn in turn. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal

from config.tasks import TaskSpec
from consumers.labelling.weak.labelling import Found, names_of
from perennial_artifact.keywords import NOTHING

Stratum = Literal["on topic", "off topic", "edge", "unsorted", "gold"]
SORTED: tuple[Stratum, ...] = ("on topic", "off topic", "edge")
_SURE, _UNSURE = 0.8, 0.2
"""Probabilities from which on a model is sure that something applies, and below which that nothing does."""
_THIRDS = ("low", "middle", "high")


def by_rules(found: Found, number: int) -> Stratum:
    """Return the stratum of a text without a label. Rules meet at the edge: they disagree, or find several labels at once."""
    fired = found.fired[number]
    if not fired:
        return "off topic"
    if found.task.kind == "ner":
        marks = sorted(found.marks[number])
        apart = all(
            one[1] <= other[0] or found.rules[one[2]].label == found.rules[other[2]].label for one, other in pairwise(marks)
        )
        return "on topic" if apart else "edge"
    labels: dict[str, set[str]] = defaultdict(set)
    for rule in fired:
        labels[found.rules[rule].group].add(found.rules[rule].label)
    return "edge" if any(len(names) > 1 for names in labels.values()) else "on topic"


def expected(found: Found, number: int) -> frozenset[str]:
    """Return what rules find in a text: labels, of signals `category:tag`."""
    rules = [found.rules[rule] for rule in found.fired[number]]
    return frozenset(f"{rule.group}:{rule.label}" if rule.group else rule.label for rule in rules if rule.label != NOTHING)


def by_answer(task: TaskSpec, answer: Mapping[str, Any] | None) -> Stratum:
    """Return the stratum of a text by what a model answered to it: whether it is sure that something, or nothing, applies.

    Of numbers nobody can say what is on topic: they are `unsorted`, and drawn in turn by `names`.
    """
    if answer is None or task.kind == "regression":
        return "unsorted"
    if task.kind == "ner":
        return "on topic" if answer["spans"] else "off topic"
    if task.kind == "signals":
        said = answer["signals"].values()
        some = [one for one in said if one.get("tag") not in (None, NOTHING)]
        # Keywords have no probabilities.
        sure = all(one.get("probability") is None or one["probability"] >= _SURE for one in said)
        return ("on topic" if some else "off topic") if sure else "edge"
    if not answer.get("scores"):
        return "unsorted"
    best = max(answer["scores"].values())
    if best >= _SURE:
        return "on topic"
    return "off topic" if task.kind == "multilabel" and best < _UNSURE else "edge"


def names(task: TaskSpec, said: Mapping[str, Any]) -> frozenset[str]:
    """Return by what a text is drawn in turn, from a target or answer: its labels, or in which third of a range a number is."""
    if task.kind == "regression":
        given = [(one, said["values"].get(one.name)) for one in task.dimensions]
        return frozenset(
            f"{one.name} {_THIRDS[max(0, min(2, int(3 * (value - one.low) / (one.high - one.low))))]}"
            for one, value in given
            if value is not None
        )
    if task.kind == "signals":
        told = {name: one for name, one in said["signals"].items() if one and one.get("tag") not in (None, NOTHING)}
        return frozenset(names_of({"signals": told}, task.kind))
    return frozenset(names_of(said, task.kind))
