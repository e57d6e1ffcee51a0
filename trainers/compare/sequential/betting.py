"""A bet against "the candidate gains no more than m": its capital is evidence at any time (arXiv 2010.09686).

If the mean is at most m, capital that starts at 1 exceeds 1 / alpha with a probability of at most alpha, however often one looks
(Ville 1939). No sample is too small for it, and nothing but the bounds of the values is assumed.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STAKES = np.geomspace(0.01, 0.9, 16)
"""Shares of the most that can be bet without ever being ruined. Capital is the mean over all of them, so the order of rows does
not matter, and who bets need not know how large the gain is (their section on diversified bets)."""
_HALVINGS = 60


def log_capital(sums: Floats, sizes: Floats, mean: float, *, lowest: float, largest: float = 1.0) -> float:
    """Return the logarithm of the capital of a bet that values are more than `mean` on average over rows.

    `sums` (documents,) are sums of the values of each document, `sizes` (documents,) its rows, at most `largest`; a value is
    `lowest` at least. Differences of right and wrong answers lie between -1 and 1. A document is one round: its rows are alike.
    Raises ValueError where a document is larger, or a mean value lower, than said.
    """
    if len(sums) and (float(sizes.max()) > largest or float((sums - lowest * sizes).min()) < -1e-9 * largest):
        message = f"a document has more than {largest:g} rows, or a value is below {lowest:g}"
        raise ValueError(message)
    if mean <= lowest:
        return math.inf if bool((sums > mean * sizes).any()) else 0.0
    rounds = (sums - sizes * mean) / largest
    stakes = _STAKES / (mean - lowest)
    by_stake = np.log1p(stakes[:, None] * rounds).sum(axis=1)
    top = float(by_stake.max())
    return top + math.log(float(np.exp(by_stake - top).mean()))


def lower_bound(sums: Floats, sizes: Floats, alpha: float, *, lowest: float, highest: float, largest: float = 1.0) -> float:
    """Return the largest mean that is refuted at `alpha`: at no time does it exceed the true one, but with this probability.

    Arguments as of `log_capital`. `lowest` where nothing is refuted. Capital falls as the mean grows, so halving finds it.
    """
    enough = math.log(1.0 / alpha)

    def refuted(mean: float) -> bool:
        return log_capital(sums, sizes, mean, lowest=lowest, largest=largest) >= enough

    low, high = lowest, highest
    if len(sums) == 0 or not refuted(lowest + 1e-9 * (highest - lowest)):
        return lowest
    for _halving in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low


def by_document(values: Floats, clusters: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Return the sum of `values` (rows,) and the number of rows of each document (documents,), from its number in `clusters`."""
    return np.asarray(np.bincount(clusters, values), np.float64), np.asarray(np.bincount(clusters), np.float64)
