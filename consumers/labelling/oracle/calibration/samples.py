"""The texts on which a prompt is judged: on topic, off topic, at the edge, and texts that people labelled. Pure.

Drawn in the order of a hash of seed and text: a new article takes at most one place, so that a prompt which is worked on meets
the same texts again.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Literal

from config.tasks import TaskSpec
from consumers.labelling.oracle.calibration import strata
from consumers.labelling.oracle.calibration.strata import Stratum
from consumers.labelling.weak.labelling import Found
from consumers.labelling.weak.texts import Texts, WeakText

By = Literal["rules", "models", "clusters", "nothing"]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A text of a sample."""

    text: WeakText
    stratum: Stratum
    expected: frozenset[str] = frozenset()
    """What rules find in it, where it is on topic by rules: labels, of signals `category:tag`."""
    gold: Mapping[str, Any] | None = None
    """What people say of it."""
    names: frozenset[str] = frozenset()
    """By which it is drawn in turn with others of its stratum: labels, thirds of a range, or its cluster."""


@dataclass(frozen=True, slots=True)
class ByStratum:
    """Texts by stratum."""

    by: By
    """What they were sorted by."""
    drawable: Mapping[Stratum, Sequence[Drawn]]


def sort(task: TaskSpec, found: Found) -> ByStratum:
    """Sort the texts of a task: by its rules where it has some, else by the newest answers of its models, else by clusters."""
    texts = found.texts
    drawable: dict[Stratum, list[Drawn]] = defaultdict(list)
    answers = {sha: answer for of_version in texts.answers.values() for sha, answer in of_version.items()}
    by: By = "rules" if found.rules else "models" if answers else "clusters" if texts.clusters else "nothing"
    for number, text in enumerate(texts.unlabelled):
        if not _can_be_shown(task, text):
            continue
        cluster, answer = _cluster(texts, text), answers.get(text.text_sha256)
        if by == "rules":
            stratum, rules = strata.by_rules(found, number), strata.expected(found, number)
            drawable[stratum].append(Drawn(text, stratum, rules, names=rules or cluster))
        elif by == "models":
            stratum = strata.by_answer(task, answer)
            names = strata.names(task, answer) if answer is not None else frozenset[str]()
            drawable[stratum].append(Drawn(text, stratum, names=names or cluster))
        else:
            drawable["unsorted"].append(Drawn(text, "unsorted", names=cluster))
    drawable["gold"] = [
        Drawn(one.text, "gold", gold=one.target, names=strata.names(task, one.target))
        for one in texts.gold if _can_be_shown(task, one.text) and not one.target.get("partial")
    ]  # fmt: skip
    return ByStratum(by, drawable)


def _cluster(texts: Texts, text: WeakText) -> frozenset[str]:
    number = texts.clusters.get(text.text_sha256)
    return frozenset() if number is None else frozenset([f"cluster {number}"])


def draw(task: TaskSpec, texts: ByStratum, seed: int, without: Collection[str] = ()) -> list[Drawn]:
    """Return a sample: of each stratum as many as the task file asks for, or fewer where there are no more."""
    asked = task.oracle.calibration
    sizes: dict[Stratum, int] = {
        "on topic": asked.on_topic, "off topic": asked.off_topic, "edge": asked.edge, "gold": asked.gold,
        "unsorted": asked.on_topic + asked.off_topic + asked.edge if texts.by != "rules" else 0,
    }  # fmt: skip
    if texts.by == "models":
        # Texts that no model was asked about make up for those that are missing.
        sizes["unsorted"] -= sum(min(sizes[one], len(texts.drawable.get(one, ()))) for one in strata.SORTED)
    found: list[Drawn] = []
    for stratum, size in sizes.items():
        there = [one for one in texts.drawable.get(stratum, ()) if one.text.text_sha256 not in without]
        found += _in_turn(there, seed)[: max(0, size)]
    return found


def _in_turn(there: Sequence[Drawn], seed: int) -> list[Drawn]:
    """Return texts in the order in which they are drawn: of each name one after the other, a text by its rarest one."""
    often = Counter(name for one in there for name in one.names)
    groups: dict[str, list[Drawn]] = defaultdict(list)
    for one in sorted(there, key=lambda one: _place(seed, one.text.text_sha256)):
        groups[min(one.names, key=lambda name: (often[name], name), default="")].append(one)
    rounds = zip_longest(*(groups[name] for name in sorted(groups)))
    return [one for together in rounds for one in together if one is not None]


def _place(seed: int, text_sha256: str) -> str:
    return hashlib.sha256(f"{seed} {text_sha256}".encode()).hexdigest()


def _can_be_shown(task: TaskSpec, text: WeakText) -> bool:
    return can_be_shown(task, text.text)


def can_be_shown(task: TaskSpec, text: str) -> bool:
    """Return whether a text can be asked about: of entities only whole ones, because silence about the rest would be a "no"."""
    return bool(text.strip()) and (task.kind != "ner" or len(text) <= task.oracle.max_chars)
