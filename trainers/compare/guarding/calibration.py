"""The calibration error of both models as a score, so that its rise has a bound like any drop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainers.compare.metrics.labels import BINS, bin_of
from trainers.compare.metrics.scale import Scale
from trainers.compare.probabilities import Sureness
from trainers.compare.resampling.paired import Scores
from trainers.compare.resampling.sums import PairedSums, Sums

NAME = "calibration error"
SCALE = Scale(title=NAME, better="lower")


def paired(sides: Sequence[Sureness | None], rows: int) -> PairedSums | None:
    """Return how sure and how right each row is by bin, whose score is the calibration error; None without probabilities.

    `sides` are how sure candidate and opponent are on so many rows. Of texts with several labels each label of each text counts,
    as in `trainers.compare.probabilities`.
    """
    if any(side is None for side in sides):
        return None
    ours, theirs = (_by_bin(side, rows) for side in sides if side is not None)
    return PairedSums(np.ones((rows, 1)), ours, theirs, _error)


def _by_bin(side: Sureness, rows: int) -> Sums:
    """Return (rows, 2 BINS + 1): by bin how sure answers are, then how many are right; at the end how many answers there are."""
    width = 2 * BINS + 1
    of_sure = side.rows * width + bin_of(side.sure)
    cells = np.concatenate([of_sure, of_sure + BINS, side.rows * width + 2 * BINS])
    values = np.concatenate([side.sure, side.right, np.ones(len(of_sure))])
    return np.asarray(np.bincount(cells, values, minlength=rows * width), dtype=np.float64).reshape(rows, width)


def _error(_rows: Sums, own: Sums) -> Scores:
    """Return the calibration error of sums (..., 2 BINS + 1)."""
    gaps = np.abs(own[..., :BINS] - own[..., BINS : 2 * BINS])
    return np.asarray(gaps.sum(axis=-1) / np.maximum(own[..., -1], 1.0))
