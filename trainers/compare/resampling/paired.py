"""What the statistics ask of both models' answers to the same rows."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Clusters = NDArray[np.intp]
"""(rows,): each row's cluster, numbered from 0 without a gap."""


class Paired(Protocol):
    """Both models' answers to the same units: rows, or clusters of rows that are drawn as one."""

    def __len__(self) -> int:
        """Return the number of units."""
        ...

    def by_cluster(self, clusters: Clusters) -> Paired:
        """Return the same answers with the rows of each cluster drawn together."""
        ...

    def scores(self) -> tuple[float, float]:
        """Return the candidate's and the opponent's score over all units."""
        ...

    def bootstrapped(self, rng: np.random.Generator) -> tuple[Scores, Scores]:
        """Return both models' scores (replicates,) over samples of the units drawn with replacement (Efron 1979)."""
        ...

    def swapped(self, rng: np.random.Generator) -> tuple[Scores, Scores]:
        """Return both models' scores (replicates,) where a coin decides per unit which model gave which answer (Noreen 1989)."""
        ...
