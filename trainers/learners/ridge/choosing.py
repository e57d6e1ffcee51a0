"""How a regression's head is solved, chosen by forward validation: fit on older training rows, judge on newer ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from perennial_artifact.sentence.head import Solved
from perennial_artifact.sentence.numbers import Measured, NumberHead
from trainers.learners.heads.solving import Floats, Ids
from trainers.learners.heads.validation import splits
from trainers.learners.heads.weighting import decayed
from trainers.learners.ridge.rows import NumberRows
from trainers.learners.ridge.solving import Loss, Map, solve
from trainers.learners.tried import Tried

_LEAST_JUDGED = 50
"""Rows below which a score says nothing: the choice stays what it was."""
_HALF_LIVES_DAYS = (None, 730.0, 365.0, 182.0)
_STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0)
_WITH_WORDS = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Where runs of words stand beside an encoder's features: each has little to say."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How a head is solved."""

    half_life_days: float | None = 365.0
    strength: float = 0.1
    own: frozenset[tuple[str, float]] = frozenset()
    """Dimensions with another strength than that, and which."""

    @property
    def name(self) -> str:
        """The choice in words, for the run's report."""
        half = "no decay" if self.half_life_days is None else f"half-life {self.half_life_days:g} days"
        own = ", ".join(f"{strength:g} for {name}" for name, strength in sorted(self.own))
        return f"{half}, strength {self.strength:g}{f' ({own})' if own else ''}"

    def strengths(self, dimensions: Sequence[Measured]) -> Floats:
        """Return the strength of each dimension, shape (dimensions)."""
        own = dict(self.own)
        return np.array([own.get(one.name, self.strength) for one in dimensions])


def choice_of(head: NumberHead) -> Choice:
    """Return how a head was solved."""
    return Choice(head.solved.half_life_days, head.solved.strength, frozenset(head.solved.strengths.items()))


def solved(rows: NumberRows, choice: Choice, loss: Loss) -> Map:
    """Return the map of `choice`."""
    weights = decayed(rows.days, rows.weights, choice.half_life_days)
    return solve(rows.features, rows.values, weights, strength=choice.strengths(rows.dimensions), loss=loss)


def build(rows: NumberRows, choice: Choice, loss: Loss, tiers: dict[str, float], about: Solved) -> NumberHead:
    """Return the head of `choice` on all rows; `about` says what the encoder was tuned on, the rest is filled in."""
    found = solved(rows, choice, loss)
    about = replace(
        about, rows=len(rows), half_life_days=choice.half_life_days, prior_days=None, strength=choice.strength, temperature=1.0,
        strengths=dict(sorted(choice.own)),
    )  # fmt: skip
    return NumberHead(found.weight, found.bias, rows.dimensions, tiers, about)


def choose(rows: NumberRows, before: Choice, note: Callable[[Tried], None]) -> Choice:
    """Return the choice whose heads answer newer rows with the smallest error; `before` unless another is clearly better.

    First the strength, then the half-life, then the strength of each dimension; all fitted to squared errors, which is quick, and
    judged by absolute ones. Clearly: by more than a standard error of the rows' differences. `before` stays too where fewer than
    50 rows, chosen without looking at a model, can judge.
    """
    thin = rows.take(splits.thinned(rows.days))
    parts = list(splits.by_time(thin.days, thin.documents, thin.independent))
    if sum(len(judge) for _fit, judge in parts) < _LEAST_JUDGED:
        note(Tried(name=f"{before.name} (too few newer rows to choose by)", scores={}, cpu_s=0.0, chosen=True))
        return before
    span = float(np.ptp(thin.days))
    half_lives = {days for days in _HALF_LIVES_DAYS if days is None or days < 4 * span} | {before.half_life_days}
    plain, strengths = replace(before, own=frozenset()), _STRENGTHS if isinstance(rows.features, np.ndarray) else _WITH_WORDS
    tried = {choice: _errors(thin, parts, choice) for choice in (*_of_each(plain, (*strengths, before.strength)), before)}
    strength = _best(tried, before).strength
    for half_life in half_lives - {before.half_life_days}:
        choice = Choice(half_life, strength)
        tried[choice] = _errors(thin, parts, choice)
    best = _best(tried, before)
    if len(thin.dimensions) > 1:
        each = _of_each(replace(best, own=frozenset()), (*strengths, best.strength))
        common = {one: tried.get(one) or _errors(thin, parts, one) for one in each}
        tried |= common
        best = _of_dimensions(thin, {one: found.apart for one, found in common.items()}, best)
        if best not in tried:
            tried[best] = _errors(thin, parts, best)
    for choice, found in tried.items():
        scores = {"scaled_error": float(found.of_rows.mean())}
        note(Tried(name=choice.name, scores=scores, cpu_s=found.cpu_s, chosen=choice == best))
    return best


def compare(first: NumberRows, second: NumberRows, choice: Choice, *, newer_than_days: float) -> tuple[Tried, Tried, bool] | None:
    """Return how heads on two encoders' features of the same rows answer those after a time, and whether the second is better.

    The time is in days since 1970. Fitted on the rows up to it. Better: by more than a standard error of the rows' differences.
    None where there is too little to judge by.
    """
    newer = np.unique(first.documents[first.days > newer_than_days])
    fit = np.flatnonzero(~np.isin(first.documents, newer))
    judge = np.flatnonzero((first.days > newer_than_days) & first.independent)
    if len(judge) < _LEAST_JUDGED or not len(fit):
        return None
    ours, theirs = (_errors(rows, [(fit, judge)], choice) for rows in (first, second))
    better = _clearly_smaller(theirs.of_rows, ours.of_rows)
    one, other = (
        Tried(name=name, scores={"scaled_error": float(found.of_rows.mean())}, cpu_s=found.cpu_s, chosen=chosen)
        for name, found, chosen in (("first", ours, not better), ("second", theirs, better))
    )
    return one, other, better


def compare_over_time(first: NumberRows, second: NumberRows, choice: Choice) -> tuple[Tried, Tried] | None:
    """Return how heads on two features of the same rows, in order of time, answer newer ones; None where too few can judge."""
    parts = list(splits.by_time(first.days, first.documents, first.independent))
    if sum(len(judge) for _fit, judge in parts) < _LEAST_JUDGED:
        return None
    ours, theirs = (_errors(rows, parts, choice) for rows in (first, second))
    better = _clearly_smaller(theirs.of_rows, ours.of_rows)
    one, other = (
        Tried(name=name, scores={"scaled_error": float(found.of_rows.mean())}, cpu_s=found.cpu_s, chosen=chosen)
        for name, found, chosen in (("first", ours, not better), ("second", theirs, better))
    )
    return one, other


def _of_each(before: Choice, strengths: Sequence[float]) -> list[Choice]:
    return [replace(before, strength=strength) for strength in sorted(set(strengths))]


@dataclass(frozen=True, slots=True)
class _Errors:
    """How far newer rows' answers are off."""

    apart: Floats
    """Shape (rows, dimensions): as a share of the range; not a number where one is missing."""
    of_rows: Floats
    """Shape (rows): the weighted mean over the dimensions of a row."""
    cpu_s: float


def _errors(rows: NumberRows, parts: Sequence[tuple[Ids, Ids]], choice: Choice) -> _Errors:
    began = time.process_time()
    low, high, share = (np.array([getattr(one, part) for one in rows.dimensions]) for part in ("low", "high", "weight"))
    found = []
    for fit, judge in parts:
        said = np.clip(solved(rows.take(fit), choice, "mse").values(rows.features[judge]), low, high)
        found.append(np.abs(said - rows.values[judge]) / (high - low))
    apart = np.concatenate(found)
    weights = ~np.isnan(apart) * share
    of_rows = (np.nan_to_num(apart) * weights).sum(axis=1) / weights.sum(axis=1)
    return _Errors(apart, of_rows, time.process_time() - began)


def _of_dimensions(rows: NumberRows, apart: Mapping[Choice, Floats], best: Choice) -> Choice:
    """Return the choice in which a dimension has the strength that is clearly best for it, where there is one.

    `apart` is of choices that differ in the strength of all dimensions alone; one of them has that of `best`.
    """
    own = {}
    for at, dimension in enumerate(rows.dimensions):
        usual = apart[replace(best, own=frozenset())][:, at]
        known = ~np.isnan(usual)
        if int(known.sum()) < _LEAST_JUDGED:
            continue
        choice = min(apart, key=lambda one: apart[one][known, at].mean())
        if _clearly_smaller(apart[choice][known, at], usual[known]):
            own[dimension.name] = choice.strength
    return replace(best, own=frozenset(own.items()))


def _best(tried: Mapping[Choice, _Errors], before: Choice) -> Choice:
    best = min(tried, key=lambda choice: tried[choice].of_rows.mean())
    return best if _clearly_smaller(tried[best].of_rows, tried[before].of_rows) else before


def _clearly_smaller(one: Floats, other: Floats) -> bool:
    gains = other - one
    return bool(gains.mean() > gains.std() / np.sqrt(len(gains)))
