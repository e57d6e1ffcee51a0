"""Which rows of an answered pool people are asked about: mostly those that tell the models apart, by known probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainers.compare.apart import bounds_of, strata_of
from trainers.compare.sampling.drawing import stratified
from trainers.compare.sampling.inclusion import AGREE, Floats, Strata, allocate, of_strata

_AT_LEAST = 2
"""Rows of each stratum: a variance needs two."""


@dataclass(frozen=True, slots=True)
class Draw:
    """What was drawn of a pool."""

    rows: NDArray[np.intp]
    """Numbers of the rows, in the random order in which they are asked about: every first part is a random sample as well."""
    strata: Strata
    """(rows of the pool,)"""
    inclusion: Floats
    """(rows of the pool,): the probability with which each was drawn."""
    sizes: tuple[int, ...]
    """Rows of the pool in each stratum."""
    bounds: tuple[float, ...]


def draw(sizes: Floats, *, numbers: bool, labels: int, agreements: float, seed: int) -> Draw:
    """Draw `labels` rows at most of a pool whose answers are `sizes` (rows,) apart; none where no row differs.

    Where answers are alike or not, the share `agreements` is drawn of those alike, and the rest of the others. Where they are
    `numbers`, strata by the size of the difference are drawn in proportion to size and rows, and the one of the smallest
    differences gets that share at least.
    """
    rng = np.random.default_rng(seed)
    bounds = bounds_of(sizes) if numbers else ()
    strata = strata_of(sizes, bounds, numbers=numbers)
    counts = np.bincount(strata, minlength=len(bounds) + 1 if numbers else 2)
    told = tuple(int(count) for count in counts)
    if not bool((sizes > 0.0).any()):
        return Draw(np.empty(0, dtype=np.intp), strata, np.zeros(len(sizes)), told, bounds)
    wanted = _by_size(sizes, strata, counts, labels, agreements) if numbers else _of_two(counts, labels, agreements)
    drawn = stratified(strata, wanted, rng)
    return Draw(rng.permutation(drawn), strata, of_strata(strata, wanted), told, bounds)


def _of_two(counts: NDArray[np.intp], labels: int, agreements: float) -> NDArray[np.intp]:
    alike, differing = (int(count) for count in counts)
    first = min(alike, max(_AT_LEAST, round(labels * agreements)))
    second = min(differing, max(labels - first, 1))
    # Where few rows differ there are few to ask about, and rows alike do not stand in for them.
    first = min(first, max(_AT_LEAST, round(second * agreements / (1.0 - agreements))))
    return np.array([first, second], dtype=np.intp)


def _by_size(sizes: Floats, strata: Strata, counts: NDArray[np.intp], labels: int, agreements: float) -> NDArray[np.intp]:
    means = np.bincount(strata, sizes, minlength=len(counts)) / np.maximum(counts, 1)
    least = float(np.minimum(counts, _AT_LEAST).sum())
    wanted = allocate(counts.astype(np.float64), means, max(labels, int(least)), at_least=_AT_LEAST)
    wanted[AGREE] = max(int(wanted[AGREE]), min(int(counts[AGREE]), round(labels * agreements)))
    return wanted
