"""Is the candidate really better? Paired resampling by story over tallies, pure and vectorised.

A *tally* counts, per unit and class, how much there was to find (`gold`), how much was found (`hits`) and how much was
claimed (`predicted`). Every score is a mean of F1 = 2 hits / (gold + predicted) over the classes: one class for entity F1 (its
spans; seqeval's micro F1) and for accuracy (each row claims exactly one answer, so F1 is accuracy), one class per label for macro
F1 (scikit-learn's, with `labels` given and `zero_division=0`). The classes are the same for both models and in every resample.
Sums of tallies over clusters therefore suffice for all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]

BOOTSTRAP_REPLICATES = 2_000
SWAP_REPLICATES = 10_000
EQUAL_LEVEL = 0.008
"""Level of the test against an equal candidate: fewer than 1 of 100 looks is promised, and models are not quite exchangeable."""
WORSE_LEVEL = 0.0005
"""Level of the test against one worse by the minimum: fewer than 1 of 1,000 is promised, and the error is an estimate."""
_CELLS_AT_ONCE = 4_000_000  # bounds the memory of one block of replicates, to some tens of megabytes
_ROUNDING = 1e-12  # two ways of adding up the same gain differ by less


@dataclass(frozen=True, slots=True)
class PairedTallies:
    """Both models' tallies over the same units; every array is (units, classes)."""

    gold: Counts
    candidate_hits: Counts
    candidate_predicted: Counts
    opponent_hits: Counts
    opponent_predicted: Counts
    unclaimed: int = field(default=0, kw_only=True)
    """Further classes that neither model claimed anywhere: their F1 is 0 in every resample, so they have no column."""

    def by_cluster(self, clusters: NDArray[np.intp]) -> PairedTallies:
        """Return the sums over the units of each cluster; `clusters` (units,) numbers them from 0 without a gap."""
        return PairedTallies(*(_sum_by(clusters, array) for array in self.arrays()), unclaimed=self.unclaimed)

    def arrays(self) -> tuple[Counts, Counts, Counts, Counts, Counts]:
        """Return the five arrays in the order of the fields."""
        return self.gold, self.candidate_hits, self.candidate_predicted, self.opponent_hits, self.opponent_predicted

    def scores(self) -> tuple[float, float]:
        """Return the candidate's and the opponent's score over all units."""
        gold, *rest = (array.sum(axis=0) for array in self.arrays())
        more = self.unclaimed
        return float(mean_f1(gold, rest[0], rest[1], more)), float(mean_f1(gold, rest[2], rest[3], more))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What resampling says of the gain (candidate minus opponent, in points 0..1)."""

    gain: float
    standard_error: float
    lower_bound: float
    upper_bound: float
    p_equal: float


def mean_f1(gold: Counts, hits: Counts, predicted: Counts, unclaimed: int = 0) -> Counts:
    """Return the mean over the last axis of 2 hits / (gold + predicted); a class with neither is 0, and so is no class at all.

    `unclaimed` further classes are 0 as well.
    """
    claims = np.asarray(gold + predicted, dtype=np.float64)
    f1 = np.divide(2.0 * hits, claims, out=np.zeros_like(claims), where=claims > 0)
    return np.asarray(f1.sum(axis=-1) / max(f1.shape[-1] + unclaimed, 1))


def weigh(tallies: PairedTallies, clusters: NDArray[np.intp], *, confidence: float, seed: int) -> Evidence:
    """Return the evidence in paired tallies whose units belong to `clusters` (numbered from 0 without a gap).

    Bounds are one-sided at `confidence`, from the percentiles of a bootstrap that draws whole clusters.
    """
    if len(tallies.gold) == 0:
        return Evidence(gain=0.0, standard_error=0.0, lower_bound=-1.0, upper_bound=1.0, p_equal=1.0)
    stories = tallies.by_cluster(clusters)
    candidate, opponent = stories.scores()
    rng = np.random.default_rng(seed)
    gains = bootstrap_gains(stories, BOOTSTRAP_REPLICATES, rng)
    lower, upper = np.quantile(gains, [1.0 - confidence, confidence])
    return Evidence(
        gain=candidate - opponent,
        standard_error=float(gains.std(ddof=1)),
        lower_bound=float(lower),
        upper_bound=float(upper),
        p_equal=swap_p_value(stories, SWAP_REPLICATES, rng),
    )


def bootstrap_gains(stories: PairedTallies, replicates: int, rng: np.random.Generator) -> Counts:
    """Return `replicates` gains over samples of the stories drawn with replacement (Efron 1979, on clusters)."""
    columns = np.hstack(stories.arrays()).astype(np.float32)
    count = len(columns)
    blocks = []
    for size in _blocks(replicates, count):
        drawn = rng.integers(0, count, size=(size, count), dtype=np.int32) + count * np.arange(size, dtype=np.int32)[:, None]
        times_drawn = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(np.float32)
        gold, *rest = np.split((times_drawn @ columns).astype(np.float64), 5, axis=1)
        more = stories.unclaimed
        blocks.append(mean_f1(gold, rest[0], rest[1], more) - mean_f1(gold, rest[2], rest[3], more))
    return np.concatenate(blocks)


def swap_p_value(stories: PairedTallies, replicates: int, rng: np.random.Generator) -> float:
    """Return the one-sided probability of a gain this large if both models were equal.

    If they are, who gave which answers within a story is a coin toss: approximate randomisation (Noreen 1989), exact for
    any metric and sample size up to the number of replicates. On accuracy without clusters it is McNemar's exact test.
    """
    candidate, opponent = stories.scores()
    apart = np.hstack([stories.candidate_hits - stories.opponent_hits, stories.candidate_predicted - stories.opponent_predicted])
    apart = apart[np.any(apart != 0.0, axis=1)].astype(np.float32)
    gold = stories.gold.sum(axis=0)
    both_hits = (stories.candidate_hits + stories.opponent_hits).sum(axis=0)
    both_predicted = (stories.candidate_predicted + stories.opponent_predicted).sum(axis=0)
    observed = candidate - opponent
    as_large = 0
    for size in _blocks(replicates, len(apart)):
        sides = 2.0 * rng.integers(0, 2, size=(size, len(apart)), dtype=np.int8).astype(np.float32) - 1.0
        hits, predicted = np.split((sides @ apart).astype(np.float64), 2, axis=1)
        ours = mean_f1(gold, (both_hits + hits) / 2.0, (both_predicted + predicted) / 2.0, stories.unclaimed)
        theirs = mean_f1(gold, (both_hits - hits) / 2.0, (both_predicted - predicted) / 2.0, stories.unclaimed)
        as_large += int(np.count_nonzero(ours - theirs >= observed - _ROUNDING))
    return (1 + as_large) / (1 + replicates)


def alpha_at(looks: int) -> float:
    """Return the largest `p_equal` that may promote at this look at the same rows: Bonferroni over the looks so far."""
    return EQUAL_LEVEL / max(looks, 1)


def required_rows(rows: int, standard_error: float, required_gain: float, *, looks: int = 1) -> int:
    """Return the rows at which chance alone shows an equal candidate the required gain in fewer than 1 of 100 first looks.

    From variance ~ 1/rows: rows * (z * standard_error / required_gain)^2. It grows with `looks` as `alpha_at` shrinks. At
    accuracy 0.80 and a minimum of 4 points this gives about 330, 540 and 910 rows at 9, 15 and 25 % discordant answers. A
    true gain of 1.5 times the minimum then passes with probability Phi(z / 2) >= 0.87. 0 when no number of rows changes the
    answer: no minimum, or one out of reach.
    """
    if required_gain <= 0.0 or math.isinf(required_gain):
        return 0
    z = -NormalDist().inv_cdf(alpha_at(looks))
    return math.ceil(rows * (z * standard_error / required_gain) ** 2)


def certainly_not_worse(gain: float, standard_error: float, minimum: float) -> bool:
    """Return whether a candidate truly worse by `minimum` would show this gain in fewer than 1 of 1,000 looks."""
    return gain + minimum >= -NormalDist().inv_cdf(WORSE_LEVEL) * standard_error


def _sum_by(clusters: NDArray[np.intp], array: Counts) -> Counts:
    total = np.zeros((int(clusters.max(initial=-1)) + 1, array.shape[1]))
    np.add.at(total, clusters, array)
    return total


def _blocks(replicates: int, width: int) -> list[int]:
    size = max(1, min(replicates, _CELLS_AT_ONCE // max(width, 1)))
    full, rest = divmod(replicates, size)
    return [size] * full + ([rest] if rest else [])
