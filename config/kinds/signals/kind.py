"""Signals: of each of several categories a score from -1 to 1 and a tag; any of them may be missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from config.foreign.labels import label, label_of_stored
from config.kinds import forms, values
from config.kinds.kind import UNKNOWN, Answer, Piece, Relation, RowValues, Target, Words
from config.kinds.signals.categories import SIGNALS, Category, keywords_of, label_of
from config.kinds.signals.models import ShownSignals, SignalsAnswer, SignalsTarget, complete
from perennial_artifact.keywords import NOTHING, Keywords

_SAME = 0.1
"""How far two scores may be apart to be the same."""
_Said = Mapping[str, Any]
"""Of one category: `score`, and where it is known `tag`."""


class Signals:
    """A score and a tag for each category that the task names (`signals`); tags are no labels that rows bring."""

    name = "signals"
    key = SIGNALS
    declares = SIGNALS
    target: type[BaseModel] = SignalsTarget
    answer: type[BaseModel] = SignalsAnswer
    shown: type[BaseModel] = ShownSignals
    backends: tuple[str, ...] = ("transformer",)
    metrics: tuple[str, ...] = ("signal_score", "tag_f1", "intensity")
    columns: tuple[str, ...] = (SIGNALS,)
    positional = False
    several = False
    widget: forms.Widget = "signals"
    words = Words(
        task="signals", about="a score and a tag in each of several categories", majority="mean scores and most frequent tags"
    )

    def labels(self, target: Target) -> list[str]:  # noqa: ARG002 - there are none
        """Return no label."""
        return []

    def spelt(self, label: str) -> str:
        """Return what no target holds."""
        return f'"label":{json.dumps(label, ensure_ascii=False)}'

    def as_read(self, target: Target) -> dict[str, Any]:
        """Return a valid target without what is missing: decimal scores, tags as labels are read, `none` for a score of 0."""
        said = {name: _read(complete(one), label) for name, one in target[SIGNALS].items() if one is not None}
        return {**target, SIGNALS: said}

    def renamed(self, target: Target, new_name: Callable[[str], str]) -> dict[str, Any]:  # noqa: ARG002 - no label to rename
        """Return the target."""
        return dict(target)

    def fits(self, target: Target) -> bool:
        """Return whether scores, and tags that are texts, stand by category."""
        found = target.get(SIGNALS)
        return isinstance(found, Mapping) and bool(found) and all(map(_fits, found.values()))

    def misplaced(self, value: Target | Answer, text: str) -> str | None:  # noqa: ARG002 - a signal can be told of any text
        """Return None."""
        return None

    def relation(self, one: Target, other: Target) -> Relation:
        """Return `same` where all shared categories have one tag and nearly one score, `contrary` where none has.

        Categories of which both say nothing count for `same` alone: most texts are silent about most.
        """
        shared = sorted(one[SIGNALS].keys() & other[SIGNALS].keys())
        pairs = [(one[SIGNALS][name], other[SIGNALS][name]) for name in shared]
        if not pairs:
            return "unlike"
        told = [_alike(first, second) for first, second in pairs if not (_silent(first) and _silent(second))]
        return "same" if all(told) else "unlike" if any(told) else "contrary"

    def moves(self, answer: Answer | None, target: Target, confident_from: float) -> Sequence[tuple[str, str]]:
        """Return which tags were given in the place of others, and which scores were moved up or down.

        Without an answer each category of the target is moved from unknown.
        """
        said, shown = target[SIGNALS], {} if answer is None else answer[SIGNALS]
        found: list[tuple[str, str]] = []
        for name in sorted(said):
            new, old = said[name], shown.get(name)
            if old is None:
                found.append((UNKNOWN, _told(name, new)))
            elif old.get("tag") != new.get("tag") and None not in (old.get("tag"), new.get("tag")):
                sure = old.get("probability", 1.0) >= confident_from
                found += [(label_of(name, old["tag"]), label_of(name, new["tag"]))] if sure else []
            elif by := new["score"] - old["score"]:
                found.append((name, f"{name} {'up' if by > 0 else 'down'}"))
        return found

    def plain(self, answer: Answer) -> dict[str, Any]:
        """Return the scores, within -1 to 1, the tags and their probabilities."""
        return {SIGNALS: {name: _plain(one) for name, one in answer[SIGNALS].items()}}

    def confirmed(self, answer: Answer) -> dict[str, Any]:
        """Return the target with the answer's scores and tags."""
        return {SIGNALS: {name: complete(_without_probability(one)) for name, one in answer[SIGNALS].items()}}

    def corrected(self, target: Target) -> dict[str, Any] | None:
        """Return the scores and tags; whether they are all that the task asks for, `restricted` tells."""
        return {SIGNALS: {name: dict(one) for name, one in target[SIGNALS].items()}}

    def from_row(self, row: RowValues) -> dict[str, Any] | None:
        """Return the target with what the row says of each category."""
        return {SIGNALS: {name: _read(complete(one), label) for name, one in row.signals(SIGNALS).items() if one is not None}}

    def from_form(self, given: forms.Given, text: str) -> dict[str, Any]:  # noqa: ARG002 - a signal can be told of any text
        """Return the target with the scores and tags that were given."""
        return {SIGNALS: forms.signals(given)}

    def form_of(self, target: Target) -> dict[str, list[str]]:
        """Return the scores and tags as the form holds them."""
        said = target[SIGNALS].items()
        tags = {f"{forms.TAG}{name}": [one["tag"]] for name, one in said if one.get("tag") is not None}
        return {f"{forms.SCORE}{name}": [repr(one["score"])] for name, one in said} | tags

    def in_words(self, target: Target) -> str:
        """Return the categories of which something is said, each with tag and score."""
        told = [f"{name} {_in_words(one)}" for name, one in target[SIGNALS].items() if not _silent(one)]
        return " ".join((", ".join(told) or "no signal").split())

    def pieces(self, answer: Answer, text: str) -> list[Piece]:
        """Return the categories of which something is said, then the text."""
        pieces: list[Piece] = [(self.in_words(answer), "strong")]
        pieces += [(" read in part", "warning")] if answer.get("truncated") else []
        return [*pieces, ("  ", "plain"), (values.excerpt(text), "plain")]

    def unfit(self, target: Target, declared: Sequence[Category]) -> str | None:
        """Return, in words, what a valid target says of a category, or with a tag, that its task does not name; None: nothing."""
        known = {category.name: category for category in declared}
        for name, one in target[SIGNALS].items():
            if name not in known:
                return f"category {name!r} is not one of the task's: {', '.join(known)}"
            if (tag := one.get("tag")) is not None and tag not in known[name].tag_names:
                return f"tag {tag!r} is not one of category {name}: {', '.join(known[name].tag_names)}"
        return None

    def restricted(self, target: Target, declared: Sequence[Category]) -> dict[str, Any] | None:
        """Return a stored target with the categories and tags of today; None where nothing is left.

        Of a tag that the task names no longer the score stays.
        """
        known = {category.name: category.tag_names for category in declared}
        left = {
            name: dict(one) if one.get("tag") is None or one["tag"] in known[name] else {"score": one["score"]}
            for name, one in target[SIGNALS].items()
            if name in known
        }
        return {**target, SIGNALS: left} if left else None

    def strata(self, target: Target) -> frozenset[str]:
        """Return the tags that must be measurable: each of its category, but for `none`."""
        said = target[SIGNALS].items()
        return frozenset(label_of(name, one["tag"]) for name, one in said if one.get("tag") not in (None, NOTHING))

    def keywords(self, declared: Sequence[Category]) -> Keywords | None:
        """Return what answers by the keywords of a task's categories; None where it has none."""
        return keywords_of(declared)


def _fits(one: object) -> bool:
    if not isinstance(one, Mapping) or type(one.get("score")) not in (int, float):
        return False
    return -1 <= one["score"] <= 1 and isinstance(one.get("tag", ""), str)


def _read(said: _Said, spelling: Callable[[str], str]) -> dict[str, Any]:
    found: dict[str, Any] = {"score": float(said["score"])}
    return found if said.get("tag") is None else {**found, "tag": spelling(said["tag"])}


def _plain(one: _Said) -> dict[str, Any]:
    found = _read(one, label_of_stored)
    found["score"] = 0.0 if found.get("tag") == NOTHING else min(1.0, max(-1.0, found["score"]))
    return found if one.get("probability") is None else {**found, "probability": float(one["probability"])}


def _without_probability(one: _Said) -> dict[str, Any]:
    return {key: value for key, value in one.items() if key != "probability"}


def _silent(one: _Said) -> bool:
    return one.get("tag") == NOTHING or (one.get("tag") is None and one["score"] == 0)


def _alike(one: _Said, other: _Said) -> bool:
    tags = {one.get("tag"), other.get("tag")} - {None}
    return len(tags) <= 1 and abs(one["score"] - other["score"]) <= _SAME and _silent(one) == _silent(other)


def _told(name: str, one: _Said) -> str:
    return name if one.get("tag") is None else label_of(name, one["tag"])


def _in_words(one: _Said) -> str:
    return f"{one['score']:+.2g}" + (f" {one['tag']}" if one.get("tag") is not None else "")
