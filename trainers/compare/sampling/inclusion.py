"""With what probability each row of a pool is labelled: by stratum, or by the size of the difference between two answers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Strata = NDArray[np.intp]
"""(rows,): each row's stratum, numbered from 0 without a gap."""

AGREE, DIFFER = 0, 1
"""Strata of a pool that two models have answered: alike, or not."""


def allocate(sizes: Floats, deviations: Floats, labels: int, *, at_least: int = 2) -> NDArray[np.intp]:
    """Return how many labels each stratum gets (strata,): in proportion to size times standard deviation (Neyman 1934).

    `sizes` are rows of the pool, `deviations` standard deviations within a stratum of what is estimated, both (strata,). A
    stratum gets `at_least` this many, because a variance needs two, and never more than it has rows; what it cannot take goes to
    the others. All sum to `labels`, or to the pool where that is smaller. Raises ValueError where `labels` do not go round.
    """
    sizes = np.asarray(sizes, dtype=np.float64)
    least = np.minimum(sizes, at_least)
    if labels < least.sum():
        message = f"{labels} labels do not give each of {len(sizes)} strata {at_least}"
        raise ValueError(message)
    shares = sizes * np.asarray(deviations, dtype=np.float64)
    found = _capped(shares if shares.sum() > 0.0 else sizes, min(labels, int(sizes.sum())), least, sizes)
    whole = np.floor(found + 1e-9).astype(np.intp)
    left = min(labels, int(sizes.sum())) - int(whole.sum())
    whole[np.argsort(whole - found, kind="stable")[:left]] += 1
    return whole


def of_strata(strata: Strata, labels: NDArray[np.intp]) -> Floats:
    """Return the probability of each row of the pool (rows,): the labels of its stratum over the rows of its stratum."""
    sizes = np.bincount(strata, minlength=len(labels))
    return np.asarray(np.divide(labels, sizes, out=np.zeros(len(labels)), where=sizes > 0)[strata])


def by_size(differences: Floats, labels: int, *, floor: float = 0.1) -> Floats:
    """Return the probability of each row of the pool (rows,): in proportion to how far apart both answers are, at most 1.

    `differences` (rows,), not negative, in any unit. Rows with answers alike say nothing of the gain and something of the
    score, so a share `floor` of the labels is spread over all rows alike. The probabilities sum to `labels`, or to the pool where
    that is smaller. Where a row would need more than 1 it is certain, and the rest is shared again (Hanurav 1962).
    """
    if (differences < 0.0).any():
        message = "a difference is negative"
        raise ValueError(message)
    rows, total = len(differences), float(differences.sum())
    if labels >= rows:
        return np.ones(rows)
    apart = differences / total if total > 0.0 else np.full(rows, 1.0 / rows)
    shares = (1.0 - floor) * apart + floor / rows
    return _capped(shares, labels, np.zeros(rows), np.ones(rows))


def _capped(shares: Floats, total: float, least: Floats, most: Floats) -> Floats:
    """Return multiples of `shares`, each within its bounds, that sum to `total` (which lies between the sums of the bounds)."""
    low, high = 0.0, 1.0
    # As parts of the largest: the smallest floats times anything usual are 0.
    largest = float(shares.max(initial=0.0))
    shares = np.maximum(shares / largest if largest > 0.0 else shares, 1e-12)
    while np.clip(high * shares, least, most).sum() < total * (1.0 - 1e-12) and high < 1e300:  # noqa: PLR2004 - the end of floats
        high *= 2.0
    for _halving in range(200):
        middle = (low + high) / 2.0
        low, high = (middle, high) if np.clip(middle * shares, least, most).sum() < total else (low, middle)
    return np.asarray(np.clip(high * shares, least, most))
