"""The score of whoever answered, against what is right, and its range: no opponent has a part in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from trainers.compare import statistics
from trainers.compare.metrics.metric import Metric, Target
from trainers.compare.resampling.paired import Clusters


class Alone(NamedTuple):
    """A score, and bounds of it, each one-sided at the confidence that was asked for."""

    score: float
    lower: float
    upper: float


def alone(
    metric: Metric, gold: Sequence[Target], answers: Sequence[Target], clusters: Clusters, *, confidence: float, seed: int
) -> Alone:  # fmt: skip
    """Return the score of `answers`; its bounds are of a bootstrap that draws whole clusters. Each is one a row.

    Which labels count depends on gold and these answers alone, whoever else is in a table.
    """
    paired = metric.pair(gold, answers, answers)
    score, _same = paired.scores()
    (lower, upper), _same_bounds = statistics.intervals(paired, clusters, confidence=confidence, seed=seed)
    return Alone(score, lower, upper)
