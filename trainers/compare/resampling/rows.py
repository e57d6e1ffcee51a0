"""Resampling of a metric that only whole rows can score, such as a rank correlation: each replicate is scored separately.

It costs a score of all rows a replicate, so there are fewer of them than for sums: 500 samples and 4,000 swaps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from trainers.compare.resampling.paired import Clusters, Scores

Rows = NDArray[Any]
Times = NDArray[np.intp]
"""(rows,): how often a row counts, 0 included."""

BOOTSTRAP_REPLICATES = 500
SWAP_REPLICATES = 4_000


@dataclass(frozen=True, slots=True)
class PairedRows:
    """Rows as the metric scores them; the first axis of every array is rows."""

    gold: Rows
    candidate: Rows
    opponent: Rows
    score: Callable[[Rows, Rows, Times], float]
    """From gold, one model's answers, and how often each row counts, to a score."""
    clusters: Clusters

    def __len__(self) -> int:
        return int(self.clusters.max(initial=-1)) + 1

    def by_cluster(self, clusters: Clusters) -> Self:
        """Return the same rows, drawn by whole clusters."""
        return replace(self, clusters=clusters)

    def scores(self) -> tuple[float, float]:
        """Return the candidate's and the opponent's score over all rows."""
        once = np.ones(len(self.gold), np.intp)
        return self.score(self.gold, self.candidate, once), self.score(self.gold, self.opponent, once)

    def bootstrapped(self, rng: np.random.Generator, replicates: int = BOOTSTRAP_REPLICATES) -> tuple[Scores, Scores]:
        """Return both models' scores over samples of the clusters drawn with replacement."""
        found = np.empty((2, replicates))
        for replicate in range(replicates):
            drawn = rng.integers(0, len(self), size=len(self))
            times = np.bincount(drawn, minlength=len(self))[self.clusters]
            found[:, replicate] = (self.score(self.gold, self.candidate, times), self.score(self.gold, self.opponent, times))
        return found[0], found[1]

    def swapped(self, rng: np.random.Generator, replicates: int = SWAP_REPLICATES) -> tuple[Scores, Scores]:
        """Return both models' scores where a coin decides per cluster which model gave which answers."""
        once = np.ones(len(self.gold), np.intp)
        per_row = (-1, *[1] * (self.candidate.ndim - 1))
        found = np.empty((2, replicates))
        for replicate in range(replicates):
            stays = rng.integers(0, 2, size=len(self), dtype=np.int8)[self.clusters].astype(np.bool_).reshape(per_row)
            ours, theirs = np.where(stays, self.candidate, self.opponent), np.where(stays, self.opponent, self.candidate)
            found[:, replicate] = (self.score(self.gold, ours, once), self.score(self.gold, theirs, once))
        return found[0], found[1]
