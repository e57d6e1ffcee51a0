"""Mean absolute error and root mean squared error: how far numbers are off, in the unit of the target; lower is better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from trainers.compare.metrics.metric import Target
from trainers.compare.metrics.numbers import Read, paired_numbers, read_values
from trainers.compare.metrics.scale import Scale
from trainers.compare.resampling.paired import Scores
from trainers.compare.resampling.sums import PairedSums, Sums

UNIT = "units"
"""The unit of the target, where nobody named it."""


@dataclass(frozen=True, slots=True)
class MeanError:
    """The mean over the dimensions of the mean absolute error, or of the root of the mean squared error.

    scikit-learn's `mean_absolute_error` and `root_mean_squared_error`, with `weights` as `multioutput`. A dimension without a
    known row does not count; without any the error is 0.
    """

    name: str
    scale: Scale
    squared: bool
    read: Read = read_values
    weights: Mapping[str, float] = field(default_factory=dict)
    """What dimensions weigh in the mean; 1 where nothing is said."""

    def weighted(self, weights: Mapping[str, float]) -> MeanError:
        """Return the same with these weights of dimensions."""
        return replace(self, weights=weights)

    def pair(self, gold: Sequence[Target], candidate: Sequence[Target], opponent: Sequence[Target]) -> PairedSums:
        """Return per row and dimension whether it counts, and both models' error there."""
        numbers = paired_numbers(gold, candidate, opponent, self.read)
        ours, theirs = (np.abs(answer - numbers.gold) for answer in (numbers.candidate, numbers.opponent))
        if self.squared:
            ours, theirs = ours**2, theirs**2
        score = partial(root_of_mean if self.squared else mean, shares=numbers.shares(self.weights))
        return PairedSums(shared=numbers.known.astype(np.float64), candidate=ours, opponent=theirs, score=score)


def mean(rows: Sums, errors: Sums, shares: Sums | float = 1.0) -> Scores:
    """Return the mean over the dimensions of errors / rows, of sums (..., dimensions); one without rows does not count.

    `shares` (dimensions) are what each weighs.
    """
    return _over_dimensions(rows, shares, np.divide(errors, rows, out=np.zeros(errors.shape), where=rows > 0))


def root_of_mean(rows: Sums, squares: Sums, shares: Sums | float = 1.0) -> Scores:
    """Return the mean over the dimensions, weighted by `shares`, of the root of squares / rows, of sums (..., dimensions)."""
    # Swapped sums are differences, and rounding may leave them a hair below 0.
    means = np.divide(np.maximum(squares, 0.0), rows, out=np.zeros(squares.shape), where=rows > 0)
    return _over_dimensions(rows, shares, np.sqrt(means))


def _over_dimensions(rows: Sums, shares: Sums | float, scores: Scores) -> Scores:
    counted = np.where(rows > 0, shares, 0.0)
    total = counted.sum(axis=-1)
    return np.asarray((scores * counted).sum(axis=-1) / np.where(total > 0, total, 1.0))


def _scale(title: str) -> Scale:
    return Scale(title=title, better="lower", lowest=0.0, highest=math.inf, unit=UNIT)


MAE = MeanError("mae", _scale("mean absolute error"), squared=False)
RMSE = MeanError("rmse", _scale("root mean squared error"), squared=True)
