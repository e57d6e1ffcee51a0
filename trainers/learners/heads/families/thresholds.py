"""From which probability a label is given: the threshold at which its F1 on newer rows is best.

A label with few such rows would follow their chance, so the fewer it has, the nearer it stays to the one threshold that is best
for all labels together. Where newer rows are too few for any, each label has the one that its share of the rows suggests.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

from trainers.learners.heads.solving import Floats, Ids

_GRID = expit(np.linspace(logit(0.02), logit(0.95), 60))
"""Thresholds that are tried."""
_SHRINKAGE = 5.0
"""Rows that the common threshold counts as, beside the rows that carry a label."""
_LEAST_ROWS = 50
"""Rows below which nothing is chosen."""


def of(probabilities: Floats, gold: Ids) -> tuple[Floats, float] | None:
    """Return the threshold of each label, and the common one; None where rows are too few to choose by.

    `probabilities` are those of rows (rows, labels) that the heads had not seen, `gold` is 1, 0 or, where not known, below 0.
    """
    carried, told = gold == 1, gold >= 0
    support = carried.sum(axis=0)
    if len(gold) < _LEAST_ROWS or not support.any():
        return None
    f1 = np.stack([_f1(carried, told & (probabilities >= threshold), support) for threshold in _GRID])
    common = float(_GRID[_middle_of_best(f1[:, support > 0].mean(axis=1))])
    own = np.array([logit(_GRID[_middle_of_best(f1[:, label])]) for label in range(gold.shape[1])])
    # What no head found at any threshold says nothing of one.
    support = np.where(f1.max(axis=0) > 0.0, support, 0)
    share = support / (support + _SHRINKAGE)
    return expit(share * own + (1.0 - share) * logit(common)), common


def by_share(shares: Floats) -> Floats:
    """Return thresholds for labels that these shares of the rows carry, each above 0 and at most 1, without a row to judge by.

    F1 is best at the threshold that is half of that best F1 (Lipton et al., "Optimal Thresholding of Classifiers to Maximize F1
    Measure", 2014). At a share of p a head that tells nothing has F1 2p / (1 + p), one that tells everything has 1: so the
    threshold lies between p / (1 + p) and 0.5. This is the middle in log odds.
    """
    found: Floats = expit(0.5 * np.log(shares))
    return found


def _f1(carried: Ids, given: Ids, support: Ids) -> Floats:
    found: Floats = 2.0 * (carried & given).sum(axis=0) / np.maximum(support + given.sum(axis=0), 1)
    return found


def _middle_of_best(scores: Floats) -> int:
    """Return the place of the best score; of several the middle one, which is least sure to be chance."""
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    return int(best[len(best) // 2])
