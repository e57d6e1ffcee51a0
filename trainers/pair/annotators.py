"""Annotators whose answers cannot be believed: all alike, or against both models where test rows hardly ever are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from config.kinds import catalog as kinds
from trainers.compare.metrics.metric import Target

_LEAST = 10
"""Answers below which nothing is said of anybody."""
_CHANCE = 0.001


@dataclass(frozen=True, slots=True)
class Seen:
    """One labelled row, what both models say of it, and in which stratum it lies."""

    gold: Target
    candidate: Target
    opponent: Target
    stratum: int

    @property
    def against_both(self) -> bool:
        """Whether the label is neither model's answer."""
        kind = kinds.of(self.gold)
        return not any(kind.relation(self.gold, answer) == "same" for answer in (self.candidate, self.opponent))


def is_doubtful(answers: Sequence[Seen], test: Sequence[Seen]) -> bool:
    """Return whether somebody's `answers` are all but impossible, given the `test` rows that others labelled.

    Either all say the same although neither the test rows nor one of the models does, or they are against both models far more
    often than the test rows of their strata; each where chance alone would show it in fewer than 1 of 1,000 cases. Fewer than
    ten answers say nothing.
    """
    return len(answers) >= _LEAST and (_all_alike(answers, test) or _against_both(answers, test))


def _all_alike(answers: Sequence[Seen], test: Sequence[Seen]) -> bool:
    first = _key(answers[0].gold)
    if any(_key(one.gold) != first for one in answers):
        return False
    of_test = _share(Counter(_key(one.gold) for one in test)[first], len(test))
    # A model that has learnt a new label may say it, rightly, of all that is asked.
    of_models = (sum(_key(answer) == first for answer in said) / len(answers) for said in _said(answers))
    return max(of_test, *of_models) ** len(answers) < _CHANCE


def _said(answers: Sequence[Seen]) -> tuple[list[Target], list[Target]]:
    return [one.candidate for one in answers], [one.opponent for one in answers]


def _against_both(answers: Sequence[Seen], test: Sequence[Seen]) -> bool:
    known = Counter(one.stratum for one in test)
    missed = Counter(one.stratum for one in test if one.against_both)
    expected = sum(_share(missed[one.stratum], known[one.stratum]) for one in answers) / len(answers)
    found, of = sum(one.against_both for one in answers), len(answers)
    from scipy.special import bdtrc  # noqa: PLC0415 - only a pair that people have judged pays for it

    # The probability of `found` or more of them, by chance.
    return found > 0 and bdtrc(found - 1, of, expected) < _CHANCE


def _share(part: int, of: int) -> float:
    """Return a share that a few rows do not make 0 or 1 (Laplace's rule of succession)."""
    return (part + 1) / (of + 2)


def _key(answer: Target) -> str:
    kind = kinds.of(answer)
    return json.dumps(answer[kind.key], sort_keys=True)
