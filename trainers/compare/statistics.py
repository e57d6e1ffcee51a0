"""Is the candidate really better? What paired resampling by story says of the gain. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from trainers.compare.metrics.scale import Scale
from trainers.compare.resampling.paired import Clusters, Paired

EQUAL_LEVEL = 0.008
"""Level of the test against an equal candidate: fewer than 1 of 100 looks is promised, and models are not quite exchangeable."""
WORSE_LEVEL = 0.0005
"""Level of the test against one worse by the minimum: fewer than 1 of 1,000 is promised, and the error is an estimate."""
MOST_UNITS = 2_500
"""More stories than this are resampled in this many groups of them, drawn at random."""
_ROUNDING = 1e-12  # two ways of adding up the same gain differ by less, as a share of the scores


@dataclass(frozen=True, slots=True)
class Evidence:
    """What resampling says of the gain: the improvement in the metric's direction, positive where the candidate is better."""

    gain: float
    standard_error: float
    lower_bound: float
    upper_bound: float
    p_equal: float


def weigh(paired: Paired, clusters: Clusters, scale: Scale, *, confidence: float, seed: int) -> Evidence:
    """Return the evidence in both models' answers to rows that belong to `clusters` (numbered from 0 without a gap).

    Bounds are one-sided at `confidence`, from the percentiles of a bootstrap that draws whole clusters. `p_equal` is the
    one-sided probability of a gain this large if both models were equal: who gave which answers within a cluster is then a coin
    toss (approximate randomisation, Noreen 1989). Groups of stories are as independent of each other as stories are, so many
    stories are resampled by groups, and the time stops growing. Without rows everything is possible, as far as the scale reaches.
    """
    if len(paired) == 0:
        most = scale.highest - scale.lowest
        return Evidence(gain=0.0, standard_error=0.0, lower_bound=-most, upper_bound=most, p_equal=1.0)
    rng = np.random.default_rng(seed)
    stories = paired.by_cluster(grouped(clusters, rng))
    candidate, opponent = stories.scores()
    gain = scale.gain(candidate, opponent)
    gains = scale.gain(*stories.bootstrapped(rng))
    lower, upper = np.quantile(gains, [1.0 - confidence, confidence])
    if_equal = scale.gain(*stories.swapped(rng))
    rounding = _ROUNDING * (1.0 if scale.bounded else max(abs(candidate), abs(opponent)))
    return Evidence(
        gain=gain,
        standard_error=float(gains.std(ddof=1)),
        lower_bound=float(lower),
        upper_bound=float(upper),
        p_equal=(1 + int(np.count_nonzero(if_equal >= gain - rounding))) / (1 + len(if_equal)),
    )


def intervals(paired: Paired, clusters: Clusters, *, confidence: float, seed: int) -> tuple[tuple[float, float], ...]:
    """Return between which bounds the candidate's score lies, and between which the opponent's; each bound is one-sided.

    Percentiles of a bootstrap that draws whole clusters, as in `weigh`. `paired` has at least one row.
    """
    rng = np.random.default_rng(seed)
    resampled = paired.by_cluster(grouped(clusters, rng)).bootstrapped(rng)
    bounds = (np.quantile(scores, [1.0 - confidence, confidence]) for scores in resampled)
    return tuple((float(lower), float(upper)) for lower, upper in bounds)


def grouped(clusters: Clusters, rng: np.random.Generator, most: int = MOST_UNITS) -> Clusters:
    """Return the clusters themselves, or `most` groups of them, of one size, where there are more (Wolter 1985)."""
    count = int(clusters.max(initial=-1)) + 1
    return clusters if count <= most else rng.permutation(np.arange(count) % most)[clusters]


def alpha_at(looks: int) -> float:
    """Return the largest `p_equal` that may promote at this look at the same rows: Bonferroni over the looks so far."""
    return EQUAL_LEVEL / max(looks, 1)


def required_rows(rows: int, standard_error: float, required_gain: float, *, looks: int = 1) -> int:
    """Return the rows at which chance alone shows an equal candidate the required gain in fewer than 1 of 100 first looks.

    From variance ~ 1/rows: rows * (z * standard_error / required_gain)^2. It grows with `looks` as `alpha_at` shrinks. At
    accuracy 0.80 and a minimum of 4 points this gives about 330, 540 and 910 rows at 9, 15 and 25 % discordant answers. A
    true gain of 1.5 times the minimum then passes with probability Phi(z / 2) >= 0.87. 0 when no number of rows changes the
    answer: no minimum, or one out of reach; nor without rows, which tell nothing of the spread.
    """
    if rows == 0 or required_gain <= 0.0 or math.isinf(required_gain) or math.isinf(standard_error):
        return 0
    z = -NormalDist().inv_cdf(alpha_at(looks))
    return math.ceil(rows * (z * standard_error / required_gain) ** 2)


def certainly_not_worse(gain: float, standard_error: float, minimum: float) -> bool:
    """Return whether a candidate truly worse by `minimum` would show this gain in fewer than 1 of 1,000 looks."""
    return gain + minimum >= -NormalDist().inv_cdf(WORSE_LEVEL) * standard_error
