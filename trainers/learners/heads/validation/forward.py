"""Forward validation: fit on older training rows, judge on newer ones, and choose how a head is solved.

No held-out row takes part.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from trainers.learners.heads.families.family import Gold, Judged
from trainers.learners.heads.rows import HeadRows
from trainers.learners.heads.solving import Floats, Ids, Weights
from trainers.learners.heads.validation import splits
from trainers.learners.heads.weighting import decayed
from trainers.learners.tried import Tried

_LEAST_JUDGED = 50
"""Rows below which a score says nothing: the choice stays what it was."""
_UNJUDGED_STRENGTH = 3.0
"""The most where nothing can be judged and most rows say nothing of how often labels are wrong."""
_HALF_LIVES_DAYS = (None, 730.0, 365.0, 182.0)
_PRIORS_DAYS = (None, 365.0, 182.0, 91.0)


@dataclass(frozen=True, slots=True)
class Choice:
    """How a head is solved."""

    half_life_days: float | None = 365.0
    prior_days: float | None = 182.0
    strength: float = 10.0
    words: float = 0.0
    """How far the words of labels are trusted: the standard deviation of the logits that they start from; 0: not at all."""

    @property
    def name(self) -> str:
        """The choice in words, for the run's report."""
        half = "no decay" if self.half_life_days is None else f"half-life {self.half_life_days:g} days"
        recent = "prior of all rows" if self.prior_days is None else f"prior of the last {self.prior_days:g} days"
        words = f", words trusted {self.words:g}" if self.words else ""
        return f"{half}, {recent}, strength {self.strength:g}{words}"


def solved(rows: HeadRows, choice: Choice, *, start: Weights | None = None) -> tuple[Weights, dict[int, float] | None]:
    """Return the head of `choice`, and the label prior that its bias assumes (label id -> share; None: the rows' own)."""
    weights = decayed(rows.days, rows.weights, choice.half_life_days)
    near = rows.centre(choice.words)
    found = rows.family.solve(rows.features, rows.labels, weights, strength=choice.strength, start=start, centre=near)
    return _with_prior(found, rows, weights, choice.prior_days)


def choose(rows: HeadRows, before: Choice, note: Callable[[Tried], None]) -> Choice:
    """Return the choice whose heads give newer rows' labels the highest probability; `before` unless another is clearly better.

    First the strength, then the half-life, each with every prior: 6 or 7 fits for each border. Clearly: by more than a standard
    error of the rows' differences; scores of near-equal choices are noise, and following it costs accuracy. Only rows that were
    chosen without looking at a model judge. `before` stays too where these are fewer than 50, but no stronger than 3 where most
    rows are none of them: rules and oracles are wrong in the same way again and again, and nothing shows it.
    """
    thin = _thinned(rows)
    splits = list(_splits(thin))
    if sum(len(judge) for _fit, judge in splits) < _LEAST_JUDGED:
        if 2 * np.count_nonzero(rows.independent) < len(rows.independent):
            before = replace(before, strength=min(before.strength, max(_UNJUDGED_STRENGTH, min(rows.family.strengths))))
        note(Tried(name=f"{before.name} (too few newer rows to choose by)", scores={}, cpu_s=0.0, chosen=True))
        return before
    span = float(np.ptp(thin.days))
    half_lives = {days for days in _HALF_LIVES_DAYS if days is None or days < 4 * span} | {before.half_life_days}
    priors = {days for days in _PRIORS_DAYS if days is None or days < span} | {before.prior_days}
    tried: dict[Choice, _Score] = {}
    for strength in sorted({*rows.family.strengths, before.strength}):
        tried |= _scores(thin, splits, [replace(before, prior_days=days, strength=strength) for days in priors])
    strength = _best(tried, before).strength
    for half_life in half_lives - {before.half_life_days}:
        tried |= _scores(thin, splits, [Choice(half_life, days, strength, before.words) for days in priors])
    best = _best(tried, before)
    for choice, found in tried.items():
        note(Tried(name=choice.name, scores=found.means, cpu_s=found.cpu_s, chosen=choice == best))
    return best


def is_worse(rows: HeadRows, choice: Choice, *, than: Choice) -> bool:
    """Return whether heads of `choice` answer newer rows clearly worse than those of another; False where too few can judge."""
    thin = _thinned(rows)
    splits = list(_splits(thin))
    if sum(len(judge) for _fit, judge in splits) < _LEAST_JUDGED:
        return False
    ours, theirs = (_scores(thin, splits, [one])[one] for one in (choice, than))
    return _clearly_better(theirs, ours)


def compare(first: HeadRows, second: HeadRows, choice: Choice, *, newer_than_days: float) -> tuple[Tried, Tried, bool] | None:
    """Return how heads on two encoders' features of the same rows answer those after a time, and whether the second is better.

    The time is in days since 1970. Fitted on the rows up to it; rows of labels that only came later say nothing of either.
    Better: by more than a standard error of the rows' differences. None where there is too little to judge by.
    """
    newer = np.unique(first.documents[first.days > newer_than_days])
    fit = np.flatnonzero(~np.isin(first.documents, newer))
    known = first.family.told_by(first.labels, first.labels[fit])
    judge = np.flatnonzero((first.days > newer_than_days) & first.independent & known)
    if len(judge) < _LEAST_JUDGED or not first.family.can_fit(first.labels[fit]):
        return None
    return _compared(first, second, choice, [(fit, judge)])


def compare_over_time(first: HeadRows, second: HeadRows, choice: Choice) -> tuple[Tried, Tried, bool] | None:
    """Return the same as `compare`, of heads fitted on older rows and judged on newer ones; the rows are in order of time."""
    parts = list(_splits(first))
    if sum(len(judge) for _fit, judge in parts) < _LEAST_JUDGED:
        return None
    return _compared(first, second, choice, parts)


def judged_rows(rows: HeadRows, choice: Choice) -> Judged | None:
    """Return how the newer rows, chosen without looking at a model, are answered; None where there is nothing to judge."""
    thin = _thinned(rows)
    every = thin.family.known(thin.labels)
    found: list[tuple[Floats, Gold]] = []
    for fit, judge in _splits(thin):
        weights, _prior = solved(thin.take(fit), choice)
        logits = np.full((len(judge), len(every)), -np.inf)
        logits[:, np.searchsorted(every, weights.labels)] = weights.scores(thin.features[judge])
        found.append((logits, thin.family.in_columns(thin.labels[judge], every)))
    if not found:
        return None
    return Judged(np.concatenate([logits for logits, _ in found]), np.concatenate([gold for _, gold in found]), every)


@dataclass(frozen=True, slots=True)
class _Score:
    """How newer rows were answered."""

    log_probabilities: Floats
    """Of each row's label."""
    means: dict[str, float]
    cpu_s: float


def _scores(rows: HeadRows, splits: Sequence[tuple[Ids, Ids]], choices: Sequence[Choice]) -> dict[Choice, _Score]:
    """Return the scores of choices that differ in their prior alone."""
    began, family = time.process_time(), rows.family
    right: list[Gold] = []
    answers: dict[Choice, list[Gold]] = {choice: [] for choice in choices}
    logs: dict[Choice, list[Floats]] = {choice: [] for choice in choices}
    for fit, judge in splits:
        older, gold = rows.take(fit), rows.labels[judge]
        weights = decayed(older.days, older.weights, choices[0].half_life_days)
        near = older.centre(choices[0].words)
        found = family.solve(older.features, older.labels, weights, strength=choices[0].strength, centre=near)
        right.append(gold)
        for choice in choices:
            head, _prior = _with_prior(found, older, weights, choice.prior_days)
            log, said = family.judge(head, rows.features[judge], gold)
            answers[choice].append(said)
            logs[choice].append(log)
    cpu_s = (time.process_time() - began) / len(choices)
    gold = np.concatenate(right)
    scores = {}
    for choice in choices:
        log = np.concatenate(logs[choice])
        means = {"log_probability": float(log.mean())} | family.scores(gold, np.concatenate(answers[choice]))
        scores[choice] = _Score(log, means, cpu_s)
    return scores


def _compared(first: HeadRows, second: HeadRows, choice: Choice, parts: Sequence[tuple[Ids, Ids]]) -> tuple[Tried, Tried, bool]:
    ours, theirs = (_scores(rows, parts, [choice])[choice] for rows in (first, second))
    better = _clearly_better(theirs, ours)
    one, other = (
        Tried(name=name, scores=found.means, cpu_s=found.cpu_s, chosen=chosen)
        for name, found, chosen in (("first", ours, not better), ("second", theirs, better))
    )
    return one, other, better


def _best(tried: dict[Choice, _Score], before: Choice) -> Choice:
    best = max(tried, key=lambda choice: tried[choice].means["log_probability"])
    return best if _clearly_better(tried[best], tried[before]) else before


def _clearly_better(one: _Score, other: _Score) -> bool:
    gains = one.log_probabilities - other.log_probabilities
    return bool(gains.mean() > gains.std() / np.sqrt(len(gains)))


def _with_prior(
    found: Weights, rows: HeadRows, weights: Floats, prior_days: float | None
) -> tuple[Weights, dict[int, float] | None]:
    assumed = rows.family.prior(
        found, rows.labels, weights, days=rows.days, independent=np.flatnonzero(rows.independent), window_days=prior_days
    )
    if assumed is None:
        return found, None
    shares = dict(zip(assumed.labels.tolist(), assumed.shares.tolist(), strict=True))
    return replace(found, bias=(found.bias + assumed.shift).astype(np.float32)), shares


def _thinned(rows: HeadRows) -> HeadRows:
    """Return the rows in order of time, every n-th of them where they are many."""
    return rows.take(splits.thinned(rows.days))


def _splits(rows: HeadRows) -> Iterator[tuple[Ids, Ids]]:
    """Yield the numbers of older rows to fit on and of newer ones to judge by; rows must be in order of time."""
    for fit, judge in splits.by_time(rows.days, rows.documents, rows.independent):
        if rows.family.can_fit(rows.labels[fit]):
            yield fit, judge
