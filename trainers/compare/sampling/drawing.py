"""Drawing a random sample of a pool, of a fixed size, with the probabilities that were meant for each row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainers.compare.sampling.inclusion import Floats, Strata

_ROUNDING = 1e-6


def systematic(inclusion: Floats, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the numbers of the rows drawn, ascending; row i is drawn with probability `inclusion[i]` (rows,), exactly.

    Rows are laid in random order along a line, each as long as its probability, and every point at a whole distance from a random
    start draws the row it falls in (Madow 1949). As many are drawn as the probabilities sum to, rounded up or down. Raises
    ValueError for a probability outside 0..1.
    """
    if len(inclusion) and (float(inclusion.min()) < 0.0 or float(inclusion.max()) > 1.0 + _ROUNDING):
        message = "an inclusion probability is not between 0 and 1"
        raise ValueError(message)
    order = rng.permutation(len(inclusion))
    return np.sort(order[points(inclusion[order], float(rng.random()))])


def points(lengths: Floats, start: float) -> NDArray[np.intp]:
    """Return which of the pieces of a line, `lengths` (pieces,) of at most 1, hold a point `start` + 0, 1, 2, ..."""
    ends = np.cumsum(lengths)
    # A sum of floats a hair below a whole number must not lose the row that completes it.
    ends = np.where(np.abs(ends - np.round(ends)) < _ROUNDING, np.round(ends), ends)
    before = np.concatenate([[0.0], ends[:-1]])
    return np.flatnonzero(np.ceil(ends - start) > np.ceil(before - start))


def stratified(strata: Strata, labels: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the numbers of the rows drawn, ascending: `labels[h]` of stratum h at random without replacement, or all it has."""
    drawn = [
        rng.permutation(np.flatnonzero(strata == stratum))[:wanted] for stratum, wanted in enumerate(labels.tolist()) if wanted
    ]
    return np.sort(np.concatenate(drawn)) if drawn else np.empty(0, dtype=np.intp)
