"""Resampling of an additive metric: its score is a function of sums over rows, so thousands of replicates are one product."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from trainers.compare.resampling.paired import Clusters, Scores

Sums = NDArray[np.float64]

BOOTSTRAP_REPLICATES = 2_000
SWAP_REPLICATES = 10_000
_CELLS_AT_ONCE = 4_000_000  # bounds the memory of one block of replicates, to some tens of megabytes
_EXACT_IN_32_BITS = 2**22  # whole numbers up to 2^24 are; a replicate may draw the largest cluster a few times


@dataclass(frozen=True, slots=True)
class PairedSums:
    """What each unit adds to the sums that a metric's score is made of."""

    shared: Sums
    """(units, S): what is the same for both models, such as how much there was to find."""
    candidate: Sums
    """(units, M)."""
    opponent: Sums
    """(units, M)."""
    score: Callable[[Sums, Sums], Scores]
    """From sums (..., S) and (..., M) to scores (...): of one model, or of many resamples at once."""
    whole: bool = False
    """Whether all of them are counts: those are resampled twice as fast."""

    def __len__(self) -> int:
        return len(self.shared)

    def by_cluster(self, clusters: Clusters) -> Self:
        """Return the sums over the units of each cluster."""
        parts = (_sum_by(clusters, array) for array in (self.shared, self.candidate, self.opponent))
        shared, candidate, opponent = parts
        return replace(self, shared=shared, candidate=candidate, opponent=opponent)

    def scores(self) -> tuple[float, float]:
        """Return the candidate's and the opponent's score over all units."""
        shared, ours, theirs = (array.sum(axis=0) for array in (self.shared, self.candidate, self.opponent))
        return float(self.score(shared, ours)), float(self.score(shared, theirs))

    def bootstrapped(self, rng: np.random.Generator, replicates: int = BOOTSTRAP_REPLICATES) -> tuple[Scores, Scores]:
        """Return both models' scores over samples of the units drawn with replacement."""
        columns = np.hstack([self._compact(array) for array in (self.shared, self.candidate, self.opponent)])
        count, shared, own = len(self), self.shared.shape[1], self.candidate.shape[1]
        ours, theirs = [], []
        for size in _blocks(replicates, count):
            drawn = rng.integers(0, count, size=(size, count), dtype=np.int32) + count * np.arange(size, dtype=np.int32)[:, None]
            times_drawn = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(columns.dtype)
            sums = (times_drawn @ columns).astype(np.float64)
            ours.append(self.score(sums[:, :shared], sums[:, shared : shared + own]))
            theirs.append(self.score(sums[:, :shared], sums[:, shared + own :]))
        return np.concatenate(ours), np.concatenate(theirs)

    def swapped(self, rng: np.random.Generator, replicates: int = SWAP_REPLICATES) -> tuple[Scores, Scores]:
        """Return both models' scores where a coin decides per unit which model gave which answer.

        Exact for any additive metric and sample size, up to the number of replicates. On accuracy without clusters it is
        McNemar's exact test.
        """
        differences = self.candidate - self.opponent
        apart = self._compact(differences[np.any(differences != 0.0, axis=1)])
        total = apart.sum(axis=0, dtype=np.float64)
        shared, both = self.shared.sum(axis=0), (self.candidate + self.opponent).sum(axis=0)
        ours, theirs = [], []
        for size in _blocks(replicates, len(apart)):
            sides = rng.integers(0, 2, size=(size, len(apart)), dtype=np.int8)
            if self.whole:
                # Counts, so exact: what is given to one model is twice its difference from giving it to the other.
                difference = 2.0 * (sides.astype(apart.dtype) @ apart).astype(np.float64) - total
            else:
                difference = (2 * sides - 1).astype(apart.dtype) @ apart
            ours.append(self.score(shared, (both + difference) / 2.0))
            theirs.append(self.score(shared, (both - difference) / 2.0))
        return np.concatenate(ours), np.concatenate(theirs)

    def _compact(self, columns: Sums) -> NDArray[np.floating[Any]]:
        """Return counts in 32 bits, which loses nothing; all else as it is."""
        exact = self.whole and float(np.abs(columns).sum(axis=0).max(initial=0.0)) < _EXACT_IN_32_BITS
        return columns.astype(np.float32) if exact else columns


def _sum_by(clusters: Clusters, array: Sums) -> Sums:
    in_order = np.argsort(clusters, kind="stable")
    starts = np.searchsorted(clusters, np.arange(int(clusters.max(initial=-1)) + 1), sorter=in_order)
    together = array[in_order]
    return together if len(starts) == len(array) else np.asarray(np.add.reduceat(together, starts, axis=0))


def _blocks(replicates: int, width: int) -> list[int]:
    size = max(1, min(replicates, _CELLS_AT_ONCE // max(width, 1)))
    full, rest = divmod(replicates, size)
    return [size] * full + ([rest] if rest else [])
