"""How good label answers are, as benchmarks print it: accuracy, top-k accuracy and calibration, each 0..1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Of equal width, as in the paper on the calibration error."""


def accuracy(gold: Sequence[str], predicted: Sequence[str]) -> float:
    """Return the share of rows answered right (0 without rows)."""
    return _ratio(sum(label == answer for label, answer in zip(gold, predicted, strict=True)), len(gold))


def top_k_accuracy(gold: Sequence[str], scores: Sequence[Mapping[str, float]], k: int) -> float:
    """Return the share of rows whose label is among the `k` with the highest score (ties go by name)."""
    hits = 0
    for label, row in zip(gold, scores, strict=True):
        best = sorted(row, key=lambda name: (-row[name], name))[:k]
        hits += label in best
    return _ratio(hits, len(gold))


def expected_calibration_error(confidences: Sequence[float], right: Sequence[bool], *, bins: int = BINS) -> float:
    """Return the mean gap between confidence and accuracy over equal-width bins, weighted by rows (Guo et al. 2017)."""
    if len(confidences) != len(right):
        message = f"{len(confidences)} confidences for {len(right)} answers"
        raise ValueError(message)
    if not confidences:
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
