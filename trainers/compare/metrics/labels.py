"""How good label answers are, as reports and benchmarks print it: accuracy, top-k accuracy and calibration, each 0..1."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Of equal width, as in the paper on the calibration error."""


def accuracy(gold: Sequence[str], predicted: Sequence[str]) -> float:
    """Return the share of rows answered right (0 without rows)."""
    return _ratio(sum(label == answer for label, answer in zip(gold, predicted, strict=True)), len(gold))


def within(ranks: NDArray[np.intp], k: int) -> float:
    """Return the share of ranks, from 0, that are among the first `k` (0 without rows)."""
    return _ratio(int(np.count_nonzero(ranks < k)), len(ranks))


def ranked(gold: Sequence[str], scores: Sequence[dict[str, float]]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return each row's highest score, and how many labels stand before the right one: higher scores, or by name equal ones.

    A label that its row does not name comes after everything. Every row names at least one.
    """
    if len(gold) != len(scores):
        message = f"{len(gold)} labels for {len(scores)} answers"
        raise ValueError(message)
    lengths = np.fromiter(map(len, scores), np.intp, len(scores))
    if not len(lengths):
        return np.zeros(0), np.zeros(0, np.intp)
    every = np.fromiter(chain.from_iterable(map(dict.values, scores)), np.float64, int(lengths.sum()))
    starts = np.cumsum(lengths) - lengths
    # Of a label that is not named nothing is more or less probable.
    own = np.fromiter(map(dict.get, scores, gold, repeat(np.nan)), np.float64, len(scores))
    before = np.add.reduceat((every > np.repeat(own, lengths)).astype(np.intp), starts)
    before[np.isnan(own)] = np.iinfo(np.intp).max
    alike = np.add.reduceat((every == np.repeat(own, lengths)).astype(np.intp), starts)
    for at in np.flatnonzero(alike > 1).tolist():
        before[at] += sum(score == own[at] and name < gold[at] for name, score in scores[at].items())
    return np.maximum.reduceat(every, starts), before


def expected_calibration_error(
    confidences: Sequence[float] | NDArray[np.float64], right: Sequence[bool] | NDArray[np.bool_], *, bins: int = BINS
) -> float:
    """Return the mean gap between confidence and accuracy over equal-width bins, weighted by rows (Guo et al. 2017)."""
    if len(confidences) != len(right):
        message = f"{len(confidences)} confidences for {len(right)} answers"
        raise ValueError(message)
    if not len(confidences):
        return 0.0
    sure = np.asarray(confidences, dtype=np.float64)
    hit = np.asarray(right, dtype=np.float64)
    gaps = np.bincount(bin_of(sure, bins=bins), weights=sure - hit, minlength=bins)
    return float(np.abs(gaps).sum() / len(sure))


def bin_of(confidences: Sequence[float] | NDArray[np.float64], *, bins: int = BINS) -> NDArray[np.intp]:
    """Return the number of the equal-width bin, from 0, that each confidence falls into; a bin holds its upper end."""
    sure = np.asarray(confidences, dtype=np.float64)
    return np.clip(np.ceil(sure * bins).astype(np.intp) - 1, 0, bins - 1)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
