"""Probabilities that mean what they say: one temperature, fitted on rows that the judged heads had not seen.

After Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks" (ICML 2017).
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

from trainers.learners.heads.families.family import Judged

_TEMPERATURES = np.geomspace(0.2, 5.0, 65)
_LEAST_ROWS = 50
"""Rows below which one wrong answer would decide."""
_LEAST_LOG_PROBABILITY = -10.0
"""What one row counts at most: a label that no older row carried says nothing of confidence."""


def temperature(judged: Judged) -> float:
    """Return what logits are to be divided by so that newer rows' labels are most probable; 1 where rows are too few."""
    known = np.isfinite(judged.logits[np.arange(len(judged.gold)), judged.gold])
    if int(known.sum()) < _LEAST_ROWS:
        return 1.0
    logits, gold = judged.logits[known], judged.gold[known]
    return float(min(_TEMPERATURES, key=lambda divisor: _loss(logits / divisor, gold)))


def temperature_of_each(judged: Judged) -> float:
    """Return the same where each label is right or wrong by itself: over labels that are known and that an older row carries."""
    logits = np.where(np.isfinite(judged.logits), judged.logits, 0.0)
    told = np.isfinite(judged.logits) & (judged.gold >= 0)
    if int(told.any(axis=1).sum()) < _LEAST_ROWS:
        return 1.0
    towards = np.where(judged.gold == 1, -logits, logits)[told]
    return float(min(_TEMPERATURES, key=lambda divisor: float(np.logaddexp(0.0, towards / divisor).mean())))


def _loss(logits: np.ndarray, gold: np.ndarray) -> float:
    found = log_softmax(logits, axis=1)[np.arange(len(gold)), gold]
    return float(-np.maximum(found, _LEAST_LOG_PROBABILITY).mean())
