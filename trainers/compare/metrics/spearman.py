"""Spearman's rank correlation: whether texts come in the right order. Not additive: a rank depends on all other rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from trainers.compare.metrics.metric import Target
from trainers.compare.metrics.numbers import Numbers, Read, paired_numbers, read_values
from trainers.compare.metrics.scale import Scale
from trainers.compare.resampling.paired import Scores
from trainers.compare.resampling.rows import PairedRows, Rows, Times

_UNKNOWN = -1
Levels = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Spearman:
    """The mean over the dimensions of the rank correlation of answers with gold, ties at their mean rank.

    `scipy.stats.spearmanr`. Where gold or the answers do not vary there is no order to get right, and the correlation is 0. A
    dimension without a known row does not count.
    """

    name: str
    scale: Scale
    read: Read = read_values
    weights: Mapping[str, float] = field(default_factory=dict)
    """What dimensions weigh in the mean; 1 where nothing is said."""

    def weighted(self, weights: Mapping[str, float]) -> Spearman:
        """Return the same with these weights of dimensions."""
        return replace(self, weights=weights)

    def pair(self, gold: Sequence[Target], candidate: Sequence[Target], opponent: Sequence[Target]) -> PairedRows:
        """Return every number as its level: which of the different values of its dimension it is, in order.

        Both models share one scale of levels, so that answers can be swapped between them.
        """
        numbers = paired_numbers(gold, candidate, opponent, self.read)
        answers = np.concatenate([numbers.candidate, numbers.opponent])
        levels = _levels(answers, np.concatenate([numbers.known, numbers.known]))
        rows = len(numbers.gold)
        return PairedRows(
            gold=_levels(numbers.gold, numbers.known),
            candidate=levels[:rows],
            opponent=levels[rows:],
            score=partial(mean_correlation, shares=numbers.shares(self.weights)),
            clusters=np.arange(rows),
        )


def mean_correlation(gold: Rows, answers: Rows, times: Times, shares: Numbers | None = None) -> float:
    """Return the mean over the dimensions of Spearman's correlation of levels (rows, dimensions), each row counted `times`.

    `shares` (dimensions) are what each weighs; None: all alike.
    """
    found, counted = [], []
    for column in range(gold.shape[1]):
        known = gold[:, column] != _UNKNOWN
        weights = times[known].astype(np.float64)
        if weights.any():
            counted.append(1.0 if shares is None else float(shares[column]))
            found.append(_correlation(gold[known, column], answers[known, column], weights) * counted[-1])
    return sum(found) / sum(counted) if found else 0.0


def _correlation(gold: Levels, answers: Levels, weights: Scores) -> float:
    # The mean of all ranks is that of 1 to n, ties or not.
    mean_rank = (weights.sum() + 1.0) / 2.0
    first, second = _ranks(gold, weights) - mean_rank, _ranks(answers, weights) - mean_rank
    weighted = weights * first
    spread = math.sqrt(float((weighted * first).sum()) * float((weights * second * second).sum()))
    return float((weighted * second).sum()) / spread if spread > 0.0 else 0.0


def _ranks(levels: Levels, weights: Scores) -> Scores:
    """Return the mean rank of each row's level, counted from 1, where each row stands `weights` times."""
    of_level = np.bincount(levels, weights=weights)
    return np.asarray((np.cumsum(of_level) - (of_level - 1.0) / 2.0)[levels])


def _levels(numbers: Numbers, known: NDArray[np.bool_]) -> Levels:
    levels = np.full(numbers.shape, _UNKNOWN, np.intp)
    for column in range(numbers.shape[1]):
        here = known[:, column]
        levels[here, column] = np.unique(numbers[here, column], return_inverse=True)[1]
    return levels


SPEARMAN = Spearman("spearman", Scale(title="rank correlation", lowest=-1.0))
