"""Between champion and candidate: averages of their weights, and which of them forgets little enough.

What a run learns from few rows costs what the champion knew. On the way from the champion's weights to the candidate's much of
the new comes before most of the old goes (Wortsman et al., arXiv 2109.01903), so a point on that way may be better than its end.
Which one is judged on training rows that the run kept back for it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial_artifact.pieces import PIECE_CHARS
from trainers.learners.protocols import Example
from trainers.learners.tried import Tried

SHARES = (1.0, 0.85, 0.7, 0.5)
"""How far from the champion's weights (0) to the candidate's (1); the candidate itself first."""
CHAMPION, CANDIDATE = "champion", "candidate"
_KEPT_BACK = (50, 200)
"""At least and at most so many older rows judge; a tenth of them otherwise."""
_NEW_KEPT_BACK = 30
"""A tenth of the new rows judges too, where that is so many; fewer would say nothing, and are better learnt from."""

_OF_THE_LIMIT = 0.5
"""The champion knows the older rows that judge by heart, so what is lost there is less than what is lost on unseen ones."""


Weights = Mapping[Any, NDArray[np.float32]]
"""By whatever names a parameter."""


@dataclass(frozen=True, slots=True)
class KeptBack:
    """Rows of a run that it does not learn from, because they judge what it has learnt."""

    learnt: Sequence[Example]
    older: Sequence[Example]
    """Rows that the champion has learnt from; none where there are too few of them."""
    newer: Sequence[Example]


def keep_back(rows: Sequence[Example], seed: int) -> KeptBack:
    """Draw the rows that judge from the rows of an incremental run; whole ones only, of full weight."""
    order = random.Random(seed)  # noqa: S311 - a sample
    usable = [
        row
        for row in rows
        if row.weight >= 1.0 and not row.target.get("partial", False) and row.text.strip() and len(row.text) <= PIECE_CHARS
    ]
    older, newer = ([row for row in usable if row.is_new is is_new] for is_new in (False, True))
    least, most = _KEPT_BACK
    of_older = min(most, len(older) // 10)
    of_newer = len(newer) // 10
    old = order.sample(older, of_older) if of_older >= least else []
    new = order.sample(newer, min(most, of_newer)) if old and of_newer >= _NEW_KEPT_BACK else []
    judging = {id(row) for row in (*old, *new)}
    return KeptBack([row for row in rows if id(row) not in judging], old, new)


def between(champion: Weights, candidate: Weights, share: float) -> Weights:
    """Return the weights a `share` of the way from the champion's to the candidate's.

    Rows of a parameter that are all zero in the champion belong to moves that it does not know; the candidate's stand alone
    there.
    """
    mean: dict[Any, NDArray[np.float32]] = {}
    for key, end in candidate.items():
        start = champion[key]
        unknown = ~start.any(axis=tuple(range(1, start.ndim))) if start.ndim else np.zeros((), dtype=bool)
        mean[key] = np.where(
            unknown.reshape(unknown.shape + (1,) * (end.ndim - unknown.ndim)), end, start + np.float32(share) * (end - start)
        )
    return mean


def settle(
    score: Callable[[Weights, Sequence[Example]], float],
    champion: Weights,
    candidate: Weights,
    rows: KeptBack,
    *,
    before: float,
    max_forgetting: float,
    trained_cpu_s: float,
) -> tuple[Weights, list[Tried]]:
    """Return the weights to go on with, and what was tried with what scores.

    `score` returns a metric (0..1, higher is better) of weights on rows; `before` is the champion's on the older ones. Of those
    that lose at most half of `max_forgetting` there the best is taken: by the mean of both scores, or, without newer rows to
    judge, what went farthest. Where all lose more it is what loses least.
    """
    tried = [Tried(name=CHAMPION, scores={"older": before}, cpu_s=0.0, chosen=False)]
    ways: list[Mapping[str, float]] = []

    def at_share(share: float) -> Weights:
        return candidate if share == 1.0 else between(champion, candidate, share)

    for share in SHARES:
        began = time.process_time()
        # One average at a time: of a large model several would fill the memory.
        weights = at_share(share)
        scores = {"older": score(weights, rows.older)}
        if rows.newer:
            scores["newer"] = score(weights, rows.newer)
        ways.append(scores)
        name = CANDIDATE if share == 1.0 else f"average, {share:.0%} of the way from the champion to the candidate"
        spent = time.process_time() - began + (trained_cpu_s if share == 1.0 else 0.0)
        tried.append(Tried(name=name, scores=scores, cpu_s=spent, chosen=False))
    keeps = [at for at, scores in enumerate(ways) if scores["older"] >= before - max_forgetting * _OF_THE_LIMIT]
    if not keeps:
        best = max(range(len(ways)), key=lambda at: ways[at]["older"])
    elif rows.newer:
        best = max(keeps, key=lambda at: sum(ways[at].values()))
    else:
        best = keeps[0]
    tried[best + 1] = tried[best + 1].model_copy(update={"chosen": True})
    return at_share(SHARES[best]), tried
