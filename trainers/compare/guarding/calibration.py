"""The calibration error of both models as a score, so that its rise has a bound like any drop."""

from __future__ import annotations

import numpy as np

from trainers.compare.answers import Answers
from trainers.compare.metrics.labels import BINS, bin_of
from trainers.compare.metrics.scale import Scale
from trainers.compare.probabilities import sureness
from trainers.compare.resampling.paired import Scores
from trainers.compare.resampling.sums import PairedSums, Sums

NAME = "calibration error"
SCALE = Scale(title=NAME, better="lower")


def paired(answers: Answers) -> PairedSums | None:
    """Return how sure and how right each row is by bin, whose score is the calibration error; None without probabilities.

    Of texts with several labels each label of each text counts, as in `trainers.compare.probabilities`.
    """
    sides = [sureness(answers.gold, said) for said in (answers.candidate, answers.opponent)]
    if any(side is None for side in sides):
        return None
    ours, theirs = (_by_bin(side, len(answers)) for side in sides if side is not None)
    return PairedSums(np.ones((len(answers), 1)), ours, theirs, _error)


def _by_bin(side: tuple[list[int], list[float], list[bool]], rows: int) -> Sums:
    """Return (rows, 2 BINS + 1): by bin how sure answers are, then how many are right; at the end how many answers there are."""
    at, sure, right = np.array(side[0], dtype=np.intp), np.array(side[1]), np.array(side[2], dtype=np.float64)
    sums = np.zeros((rows, 2 * BINS + 1))
    if len(at):
        bins = bin_of(sure)
        np.add.at(sums, (at, bins), sure)
        np.add.at(sums, (at, BINS + bins), right)
        np.add.at(sums, (at, np.full(len(at), 2 * BINS)), 1.0)
    return sums


def _error(_rows: Sums, own: Sums) -> Scores:
    """Return the calibration error of sums (..., 2 BINS + 1)."""
    gaps = np.abs(own[..., :BINS] - own[..., BINS : 2 * BINS])
    return np.asarray(gaps.sum(axis=-1) / np.maximum(own[..., -1], 1.0))
