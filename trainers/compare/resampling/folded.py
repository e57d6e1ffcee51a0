"""Sums of many rows that are alike: what each pattern adds stands once, and each row says which pattern it is.

Of 100,000 texts with one of 30 labels each some thousand patterns of right answer and both models' answers are left. What is
linear in rows (totals, influences, sums by cluster) is computed by pattern, which gives the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainers.compare.resampling.paired import Clusters, Scores
from trainers.compare.resampling.sums import PairedSums, Sums


@dataclass(frozen=True, slots=True)
class FoldedSums:
    """Both models' answers to the same rows, as `PairedSums` of their patterns."""

    patterns: PairedSums
    """One unit a pattern."""
    at: NDArray[np.intp]
    """(rows,): the pattern of each row."""

    def __len__(self) -> int:
        return len(self.at)

    @property
    def each(self) -> PairedSums:
        """The same sums with one unit a row."""
        shared, ours, theirs = (array[self.at] for array in self._arrays)
        return PairedSums(shared, ours, theirs, self.patterns.score, whole=self.patterns.whole)

    def by_cluster(self, clusters: Clusters) -> PairedSums:
        """Return the sums over the rows of each cluster."""
        count = int(clusters.max(initial=-1)) + 1
        shared, ours, theirs = (_added_up(array, self.at, clusters, count) for array in self._arrays)
        return PairedSums(shared, ours, theirs, self.patterns.score, whole=self.patterns.whole)

    def scores(self) -> tuple[float, float]:
        """Return the candidate's and the opponent's score over all rows."""
        shared, ours, theirs = (self.times() @ array for array in self._arrays)
        return float(self.patterns.score(shared, ours)), float(self.patterns.score(shared, theirs))

    def bootstrapped(self, rng: np.random.Generator) -> tuple[Scores, Scores]:
        """Return both models' scores (replicates,) over samples of the rows drawn with replacement."""
        return self.each.bootstrapped(rng)

    def swapped(self, rng: np.random.Generator) -> tuple[Scores, Scores]:
        """Return both models' scores (replicates,) where a coin decides per row which model gave which answer."""
        return self.each.swapped(rng)

    def times(self, weights: Sums | None = None) -> Sums:
        """Return how much each pattern counts (patterns,): its rows, or the sum of their weights."""
        return np.bincount(self.at, weights, minlength=len(self.patterns)).astype(np.float64)

    @property
    def _arrays(self) -> tuple[Sums, Sums, Sums]:
        return self.patterns.shared, self.patterns.candidate, self.patterns.opponent


def _added_up(array: Sums, at: NDArray[np.intp], clusters: Clusters, count: int) -> Sums:
    """Return the sums (clusters, columns) over rows whose patterns stand in `array` (patterns, columns), most of it zeros."""
    pattern, column = np.nonzero(array)
    first = np.searchsorted(pattern, np.arange(len(array) + 1))
    cells = np.diff(first)[at]
    # The cells of a row are those of its pattern, which stand one after the other.
    which = np.repeat(first[at] - (np.cumsum(cells) - cells), cells) + np.arange(int(cells.sum()))
    place = np.repeat(clusters, cells) * array.shape[1] + column[which]
    added = np.bincount(place, array[pattern, column][which], minlength=count * array.shape[1])
    return np.asarray(added, dtype=np.float64).reshape(count, array.shape[1])
