"""What the last doubling of the labels brought: one step of a learning curve, by cross-validated heads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perennial_artifact.sentence.head import Matrix
from trainers.learners.heads.solving import Floats, Ids, Weights, solve

PARTS = 5
LEAST_TEXTS = 40
"""With fewer a share of texts told right says nothing."""
STRENGTH = 10.0


@dataclass(frozen=True, slots=True)
class Step:
    """How many texts were judged, and the shares told right with half of the labels and with all (0..1)."""

    texts: int
    half: float
    whole: float


def doubling(features: Matrix, labels: Ids, groups: Ids, *, seed: int = 0) -> Step | None:
    """Return the accuracy on texts whose group no head has seen, of heads that learnt half of the other groups, and all.

    `features` has shape (n, features), `labels` an id per row, `groups` a number per row for what must not vouch for each other.
    None with fewer than 40 rows, or where a head would see one label alone.
    """
    if len(labels) < LEAST_TEXTS:
        return None
    chance = np.random.default_rng(seed)
    numbers = chance.permutation(int(groups.max()) + 1)[groups]
    right_half, right_whole, texts = 0, 0, 0
    for part in range(PARTS):
        mine, others = np.flatnonzero(numbers % PARTS == part), np.flatnonzero(numbers % PARTS != part)
        # By the number over PARTS: which half a group is in has nothing to do with its part.
        some = others[(numbers[others] // PARTS) % 2 == 0]
        if not len(mine):
            continue
        if len(np.unique(labels[some])) < 2:  # noqa: PLR2004 - one label is nothing to tell apart
            return None
        texts += len(mine)
        right_half += _right(solve(features[some], labels[some], np.ones(len(some)), strength=STRENGTH), features, labels, mine)
        right_whole += _right(
            solve(features[others], labels[others], np.ones(len(others)), strength=STRENGTH), features, labels, mine
        )
    return Step(texts, right_half / texts, right_whole / texts) if texts else None


def _right(head: Weights, features: Matrix, labels: Ids, rows: npt.NDArray[np.intp]) -> int:
    scores: Floats = head.scores(features[rows])
    return int((head.labels[scores.argmax(axis=1)] == labels[rows]).sum())
