"""How labelled rows came to be labelled: what a row stands for, and which rows are one piece of evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from trainers.compare.resampling.paired import Clusters
from trainers.compare.sampling.inclusion import Floats, Strata


@dataclass(frozen=True, slots=True)
class Design:
    """The labelled rows of a pool; every array is (rows,), in the order of the answers that are judged."""

    strata: Strata
    inclusion: Floats
    """The probability with which the row was labelled, above 0 and at most 1; each row stands for 1 / inclusion rows."""
    clusters: Clusters
    """Documents with what shares their story: drawn or not, such rows are alike."""
    pool: int | None = None
    """Rows of the pool whose shares of strata were counted; None: they are known for all texts that there will be."""

    def __post_init__(self) -> None:
        """Raise ValueError where arrays differ in length or a probability is not one."""
        if not len(self.strata) == len(self.inclusion) == len(self.clusters):
            message = f"{len(self.strata)} strata, {len(self.inclusion)} probabilities and {len(self.clusters)} clusters"
            raise ValueError(message)
        if not ((self.inclusion > 0.0) & (self.inclusion <= 1.0)).all():
            message = "an inclusion probability is not above 0 and at most 1"
            raise ValueError(message)

    @classmethod
    def random(cls, clusters: Clusters) -> Self:
        """Return the design of rows that were all labelled alike: held-out rows chosen without a look at any answer."""
        rows = len(clusters)
        return cls(np.zeros(rows, dtype=np.intp), np.ones(rows), clusters)

    @classmethod
    def of_strata(cls, strata: Strata, sizes: Floats, clusters: Clusters) -> Self:
        """Return the design of rows drawn at random within strata of `sizes` (strata,) rows of the pool.

        Random rows that somebody labelled before may stand among those that were asked for: within a stratum all are alike.
        """
        labelled = np.bincount(strata, minlength=len(sizes))
        if (labelled > sizes).any():
            message = f"more rows are labelled than the pool has: {labelled.tolist()} of {np.asarray(sizes).tolist()}"
            raise ValueError(message)
        return cls(strata, labelled[strata] / np.asarray(sizes, dtype=np.float64)[strata], clusters, pool=int(np.sum(sizes)))

    @property
    def weights(self) -> Floats:
        """What each row counts (rows,): the inverse of its probability (Horvitz and Thompson 1952)."""
        return np.asarray(1.0 / self.inclusion)
