"""Two models of known truth, for `gate_rates`: what they answer, row by row, and how far estimates of their gain spread.

A world is a task of 30 labels, frequent and rare ones, a champion of a given accuracy and a candidate of a given true gain. How
often both answer differently is as measured on two real pairs of champions (a third of the answers at accuracy 0.45).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from trainers.compare.metrics.f1 import paired_counts
from trainers.compare.resampling.sums import PairedSums
from trainers.compare.sampling.design import Design
from trainers.compare.sampling.expected import of_f1
from trainers.compare.sampling.inclusion import AGREE, DIFFER
from trainers.compare.sampling.linearised import scored
from trainers.compare.statistics import EQUAL_LEVEL, WORSE_LEVEL

LABELS = 30
POOL = 5_000
"""Articles that both models have answered."""
ON_DISAGREEMENTS = 0.9
"""Share of the labels that are asked for where both models differ."""
MINIMUM = 0.05
"""What is asked of a gain, as a share of the champion's score."""
_SHARES = 1.0 / (np.arange(LABELS) + 3.0)
_SHARES /= _SHARES.sum()
_APART = {0.45: (0.22, 0.13), 0.80: (0.15, 0.03)}
"""By accuracy: share of rows on which exactly one is right, and on which both are wrong and differ."""
_BOTH, _SAME_WRONG, _ONLY_CANDIDATE, _ONLY_CHAMPION, _TWO_WRONGS = range(5)
_EQUAL_Z, _WORSE_Z = (-NormalDist().inv_cdf(level) for level in (EQUAL_LEVEL, WORSE_LEVEL))

Rows = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]
"""Gold, the candidate's answer and the champion's, as numbers of labels."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How an estimate of the gain spreads: its standard deviation and bias, and what it says of the former itself."""

    labels: int
    deviation: float
    bias: float
    said: float
    """Root mean square of the standard errors that go with the estimates."""

    @property
    def per_label(self) -> float:
        """The standard deviation of one label's worth: deviation times the root of the labels."""
        return self.deviation * math.sqrt(self.labels)


@dataclass(frozen=True)
class World:
    """A champion and a candidate whose true gain is `relative` of the champion's score."""

    metric: str
    """`accuracy` or `macro_f1`."""
    accuracy: float
    relative: float

    @cached_property
    def kinds(self) -> NDArray[np.float64]:
        """Share of the rows: both right, the same wrong answer, only the candidate, only the champion, two wrong answers."""
        alone, two = _APART[self.accuracy]
        points = self.relative * self.accuracy
        alone = max(alone, abs(points) + 0.02)
        candidate, champion = (alone + points) / 2.0, (alone - points) / 2.0
        both = self.accuracy - champion
        wrong = 1.0 - both - alone
        two = min(two, 0.8 * wrong)
        return np.array([both, wrong - two, candidate, champion, two])

    @property
    def differ(self) -> float:
        """Share of rows that both answer differently."""
        return float(self.kinds[_ONLY_CANDIDATE:].sum())

    def rows(self, count: int, rng: np.random.Generator, stratum: int | None = None) -> Rows:
        """Return `count` rows, of one stratum or of all."""
        shares = self.kinds.copy()
        if stratum == AGREE:
            shares[_ONLY_CANDIDATE:] = 0.0
        elif stratum == DIFFER:
            shares[:_ONLY_CANDIDATE] = 0.0
        kind = rng.choice(len(shares), size=count, p=shares / shares.sum())
        gold = rng.choice(LABELS, size=count, p=_SHARES)
        wrong = _another(rng, gold, gold)
        second = _another(rng, gold, wrong)
        ours = np.where((kind == _BOTH) | (kind == _ONLY_CANDIDATE), gold, wrong)
        theirs = np.where((kind == _BOTH) | (kind == _ONLY_CHAMPION), gold, np.where(kind == _TWO_WRONGS, second, wrong))
        return gold, ours, theirs

    def pair(self, rows: Rows) -> PairedSums:
        """Return the counts of the metric."""
        gold, ours, theirs = rows
        if self.metric == "accuracy":
            ones = np.ones((len(gold), 1))
            return paired_counts(ones, (ours == gold)[:, None] * 1.0, ones, (theirs == gold)[:, None] * 1.0, ones)
        there, mine, other = (np.eye(LABELS)[column] for column in rows)
        return paired_counts(there, there * mine, mine, there * other, other)

    @cached_property
    def truth(self) -> tuple[float, float]:
        """Both models' true scores: of expected counts."""
        both, same, candidate, champion, two = self.kinds
        right = both + candidate, both + champion
        if self.metric == "accuracy":
            return float(right[0]), float(right[1])
        # (gold, wrong) and (gold, wrong, another wrong): how likely answers are that hit nothing.
        off = 1.0 - np.eye(LABELS)
        first = _SHARES * off / (1.0 - _SHARES)[:, None]
        left = 1.0 - _SHARES[:, None] - _SHARES[None, :]
        second = np.einsum("gw,gwv,v->gv", first / left, off[:, None, :] * off[None, :, :], _SHARES)
        wrong, other = _SHARES @ first, _SHARES @ second
        claims = (
            _SHARES * right[0] + wrong * (1.0 - right[0]),
            _SHARES * right[1] + wrong * (same + candidate) + other * two,
        )
        ours, theirs = (float(np.mean(2.0 * _SHARES * hit / (_SHARES + claim))) for hit, claim in zip(right, claims, strict=True))
        return ours, theirs

    @property
    def gain(self) -> float:
        """The candidate's true gain."""
        return self.truth[0] - self.truth[1]

    @property
    def minimum(self) -> float:
        """What a gain must exceed."""
        return MINIMUM * self.truth[1]

    def random(self, labels: int, rng: np.random.Generator) -> tuple[float, float]:
        """Return the gain on random rows, and its standard error."""
        return scored(self.pair(self.rows(labels, rng)), Design.random(np.arange(labels))).contrast(1.0, -1.0)

    def asked(self, labels: int, rng: np.random.Generator) -> tuple[float, float]:
        """Return the gain by labels asked for in a pool, nine of ten where both differ, and its standard error."""
        apart = int(rng.binomial(POOL, self.differ))
        pool = {DIFFER: self.rows(apart, rng, DIFFER), AGREE: self.rows(POOL - apart, rng, AGREE)}
        wanted = {DIFFER: round(labels * ON_DISAGREEMENTS), AGREE: labels - round(labels * ON_DISAGREEMENTS)}
        drawn = self.pair(_joined(*(_first(pool[each], wanted[each]) for each in (AGREE, DIFFER))))
        strata = np.repeat([AGREE, DIFFER], [wanted[AGREE], wanted[DIFFER]])
        design = Design.of_strata(strata, np.array([POOL - apart, apart]), np.arange(labels))
        if self.metric == "accuracy":
            return scored(drawn, design).contrast(1.0, -1.0)
        counts = [
            np.stack([np.bincount(pool[each][model], minlength=LABELS).astype(float) for each in (AGREE, DIFFER)])
            for model in (1, 2)
        ]
        return scored(drawn, design, of_f1(drawn, design, *counts)).contrast(1.0, -1.0)

    def spread(self, *, asked: bool, labels: int, runs: int, seed: int) -> Spread:
        """Return how the estimate spreads over `runs` samples."""
        rng = np.random.default_rng([seed, int(asked), labels])
        draw = self.asked if asked else self.random
        gains, errors = np.array([draw(labels, rng) for _ in range(runs)]).T
        return Spread(labels, float(gains.std(ddof=1)), float(gains.mean() - self.gain), float(np.sqrt((errors**2).mean())))

    def passes(self, per_label: float, labels: float) -> float:
        """Return the power of one look at so many labels, by the levels and the minimum of the shipped gate."""
        deviation = per_label / math.sqrt(labels)
        needed = max(_EQUAL_Z * deviation, self.minimum, _WORSE_Z * deviation - self.minimum)
        return NormalDist().cdf((self.gain - needed) / deviation)

    def beyond(self, gain: float, error: float) -> bool:
        """Return whether one look at a gain passes by the same levels, as uncertain as its own error says."""
        return gain >= max(_EQUAL_Z * error, self.minimum, _WORSE_Z * error - self.minimum)

    def labels_for(self, per_label: float, power: float = 0.8) -> float:
        """Return the labels at which one look passes with this power; infinite where none do."""
        if self.passes(per_label, 1e9) < power:
            return math.inf
        low, high = 1.0, 1e9
        while high / low > 1.001:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self.passes(per_label, middle) < power else (low, middle)
        return high


def _another(rng: np.random.Generator, first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return labels by their shares, none of them that of its row in `first` or `second`."""
    found = rng.choice(LABELS, size=len(first), p=_SHARES)
    while len(again := np.flatnonzero((found == first) | (found == second))):
        found[again] = rng.choice(LABELS, size=len(again), p=_SHARES)
    return found


def _first(rows: Rows, count: int) -> Rows:
    gold, ours, theirs = rows
    return gold[:count], ours[:count], theirs[:count]


def _joined(first: Rows, second: Rows) -> Rows:
    gold, ours, theirs = (np.concatenate(both) for both in zip(first, second, strict=True))
    return gold, ours, theirs
