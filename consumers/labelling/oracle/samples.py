"""The texts on which a prompt is judged: on topic, off topic, at the edge, and texts that people labelled. Pure.

Drawn in the order of a hash of seed and text: a new article takes at most one place, so that a prompt which is worked on meets
the same texts again.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Any, Literal

from config.tasks import TaskSpec
from consumers.labelling.weak.labelling import Found
from consumers.labelling.weak.texts import WeakText
from perennial_artifact.keywords import NOTHING

Stratum = Literal["on topic", "off topic", "edge", "unsorted", "gold"]
By = Literal["rules", "models", "nothing"]
_SORTED: tuple[Stratum, ...] = ("on topic", "off topic", "edge")
_SURE, _UNSURE = 0.8, 0.2
"""Probabilities from which on a model is sure that something applies, and below which that nothing does."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A text of a sample."""

    text: WeakText
    stratum: Stratum
    expected: frozenset[str] = frozenset()
    """What rules find in it, where it is on topic by rules: labels, of signals `category:tag`."""
    gold: Mapping[str, Any] | None = None
    """What people say of it."""


@dataclass(frozen=True, slots=True)
class ByStratum:
    """Texts by stratum."""

    by: By
    """What they were sorted by."""
    drawable: Mapping[Stratum, Sequence[Drawn]]


def sort(task: TaskSpec, found: Found) -> ByStratum:
    """Sort the texts of a task: by its rules where it has some, else by the newest answers of its models."""
    texts = found.texts
    strata: dict[Stratum, list[Drawn]] = defaultdict(list)
    answers = {sha: answer for of_version in texts.answers.values() for sha, answer in of_version.items()}
    by: By = "rules" if found.rules else "models" if answers and task.kind in ("classification", "multilabel") else "nothing"
    for number, text in enumerate(texts.unlabelled):
        if not _can_be_shown(task, text):
            continue
        if by == "rules":
            strata[_by_rules(found, number)].append(Drawn(text, _by_rules(found, number), _expected(found, number)))
        elif by == "models":
            stratum = _by_answer(task, answers.get(text.text_sha256))
            strata[stratum].append(Drawn(text, stratum))
        else:
            strata["unsorted"].append(Drawn(text, "unsorted"))
    strata["gold"] = [
        Drawn(one.text, "gold", gold=one.target)
        for one in texts.gold if _can_be_shown(task, one.text) and not one.target.get("partial")
    ]  # fmt: skip
    return ByStratum(by, strata)


def draw(task: TaskSpec, texts: ByStratum, seed: int, without: Collection[str] = ()) -> list[Drawn]:
    """Return a sample: of each stratum as many as the task file asks for, or fewer where there are no more."""
    asked = task.oracle.calibration
    sizes: dict[Stratum, int] = {
        "on topic": asked.on_topic, "off topic": asked.off_topic, "edge": asked.edge, "gold": asked.gold,
        "unsorted": asked.on_topic + asked.off_topic + asked.edge if texts.by != "rules" else 0,
    }  # fmt: skip
    if texts.by == "models":
        # Texts that no model was asked about make up for those that are missing.
        sizes["unsorted"] -= sum(min(sizes[one], len(texts.drawable.get(one, ()))) for one in _SORTED)
    found: list[Drawn] = []
    for stratum, size in sizes.items():
        there = [one for one in texts.drawable.get(stratum, ()) if one.text.text_sha256 not in without]
        found += _in_turn(there, seed)[: max(0, size)]
    return found


def _in_turn(there: Sequence[Drawn], seed: int) -> list[Drawn]:
    """Return texts in the order in which they are drawn: of each label that rules expect, or people gave, one after the other."""
    groups: dict[str, list[Drawn]] = defaultdict(list)
    for one in sorted(there, key=lambda one: _place(seed, one.text.text_sha256)):
        label = one.gold.get("label") if one.gold is not None else None
        groups[str(label) if label else min(one.expected, default="")].append(one)
    rounds = zip_longest(*(groups[name] for name in sorted(groups)))
    return [one for together in rounds for one in together if one is not None]


def _place(seed: int, text_sha256: str) -> str:
    return hashlib.sha256(f"{seed} {text_sha256}".encode()).hexdigest()


def _can_be_shown(task: TaskSpec, text: WeakText) -> bool:
    return can_be_shown(task, text.text)


def can_be_shown(task: TaskSpec, text: str) -> bool:
    """Return whether a text can be asked about: of entities only whole ones, because silence about the rest would be a "no"."""
    return bool(text.strip()) and (task.kind != "ner" or len(text) <= task.oracle.max_chars)


def _by_rules(found: Found, number: int) -> Stratum:
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


def _expected(found: Found, number: int) -> frozenset[str]:
    rules = [found.rules[rule] for rule in found.fired[number]]
    return frozenset(f"{rule.group}:{rule.label}" if rule.group else rule.label for rule in rules if rule.label != NOTHING)


def _by_answer(task: TaskSpec, answer: Mapping[str, Any] | None) -> Stratum:
    scores = (answer or {}).get("scores")
    if not scores:
        return "unsorted"
    best = max(scores.values())
    if best >= _SURE:
        return "on topic"
    return "off topic" if task.kind == "multilabel" and best < _UNSURE else "edge"
