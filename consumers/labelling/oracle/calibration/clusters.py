"""Texts by what they are about, where nothing else sorts them: clusters of their embeddings. Pure; numpy only.

Spherical k-means (I. Dhillon, D. Modha, "Concept Decompositions for Large Sparse Text Data using Clustering", Machine Learning
2001), begun at texts that are far from each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from consumers.text.near_copies import unit

CLUSTERS = 12
_LEARNT_FROM = 5_000
_ROUNDS = 10
Floats = npt.NDArray[np.float32]


def clusters(texts: Sequence[str], features: Floats) -> dict[str, int]:
    """Return the number of the cluster of each text (SHA-256); `features` has shape (texts, dimensions).

    The same texts give the same clusters, in whatever order they come. Memory: a copy of `features`.
    """
    if not len(texts):
        return {}
    order = np.argsort(np.array(texts))
    rows = unit(features[order])
    # Hashes are in no order that means anything, so the first are as good as a draw.
    learnt = rows[:_LEARNT_FROM]
    centres = _far_apart(learnt, min(CLUSTERS, len(learnt)))
    for _round in range(_ROUNDS):
        nearest = (learnt @ centres.T).argmax(axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, learnt)
        lives = np.bincount(nearest, minlength=len(centres)) > 0
        centres = unit(np.where(lives[:, None], sums, centres).astype(np.float32))
    found = (rows @ centres.T).argmax(axis=1)
    return {texts[at]: int(number) for at, number in zip(order, found, strict=True)}


def _far_apart(rows: Floats, count: int) -> Floats:
    """Return rows of which each is the farthest from those before it."""
    chosen = [0]
    nearest = rows @ rows[0]
    while len(chosen) < count:
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, rows @ rows[chosen[-1]])
    return rows[chosen]
