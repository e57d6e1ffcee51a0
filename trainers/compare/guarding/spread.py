"""How far a gain on a part of the rows may be off by chance, by document."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from trainers.compare import statistics
from trainers.compare.metrics.scale import Scale
from trainers.compare.resampling.folded import FoldedSums
from trainers.compare.resampling.paired import Clusters, Paired
from trainers.compare.resampling.sums import PairedSums
from trainers.compare.sampling.design import Design
from trainers.compare.sampling.linearised import scored

POWER = 0.8
"""With so many rows that an equal candidate would be shown to be no worse than the margin this often, a guard is decided."""
_PSEUDO_DOCUMENTS = 2.0


def standard_error(paired: Paired, clusters: Clusters, scale: Scale, *, seed: int) -> float:
    """Return the standard error of the gain, documents and stories drawn as a whole; infinite without rows.

    Linearised where sums over rows suffice (Woodruff 1971), which costs one pass over the rows; else from a bootstrap.
    """
    if len(paired) == 0:
        return math.inf
    if isinstance(paired, PairedSums | FoldedSums):
        return scored(paired, Design.random(clusters)).contrast(1.0, -1.0)[1]
    rng = np.random.default_rng(seed)
    gains = scale.gain(*paired.by_cluster(statistics.grouped(clusters, rng)).bootstrapped(rng))
    return float(gains.std(ddof=1))


def cautious(standard_error: float, documents: int, scale: Scale) -> float:
    """Return the standard error that a bound is made with: where nothing differed, something may still differ.

    Of 50 documents on which both models answer alike nobody knows whether they differ on one of 100. So two documents that
    differ as far as the scale allows are added to the variance, which keeps bounds near the exact ones of a proportion (Clopper
    and Pearson 1934) where few documents differ. A score without bounds has no such farthest; there it stays.
    """
    if not scale.bounded or documents == 0:
        return standard_error
    return math.hypot(standard_error, _PSEUDO_DOCUMENTS * (scale.highest - scale.lowest) / documents)


def quantile(error: float) -> float:
    """Return how many standard errors a one-sided bound lies off that is wrong with probability `error`."""
    return -NormalDist().inv_cdf(error)


def needed_rows(rows: int, standard_error: float, margin: float, error: float) -> float:
    """Return about how many rows show an equal candidate to be no worse than `margin` in 4 of 5 cases; infinite for margin 0."""
    if margin <= 0.0:
        return math.inf
    return rows * ((quantile(error) + quantile(1.0 - POWER)) * standard_error / margin) ** 2
