"""What a row weighs by its age, and which label prior a head assumes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainers.learners.heads.solving import Floats, Ids, Weights

_SMOOTHING = 0.5
"""Rows that each label is given more, so that one which is absent from the window stays possible."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What moves a head's bias towards the labels of a window of time."""

    labels: Ids
    shares: Floats
    """Of each label in the window, smoothed; their sum is 1."""
    shift: Floats
    """To be added to the logits: log of the share in the window, less log of the weighted share in the training rows."""


def decayed(days: Floats, weights: Floats, half_life_days: float | None) -> Floats:
    """Return the weights (n) of rows of the times `days` (n): half for each half-life before the newest; None: as they are."""
    if half_life_days is None or not len(days):
        return weights
    found: Floats = weights * 0.5 ** ((days.max() - days) / half_life_days)
    return found


def prior(
    solved: Weights, labels: Ids, weights: Floats, *, days: Floats, independent: Ids, window_days: float | None
) -> Prior | None:
    """Return the prior of the last `window_days`; None where none is asked for, or the window holds no row to learn it from.

    `labels`, `weights` and `days` (n each) are the rows that `solved` was solved on, with the weights of then. Only rows
    in `independent` (numbers of rows chosen without looking at a model) say how often labels come: corrections are frequent where
    a model is wrong. After Saerens, Latinne and Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori
    Probabilities" (Neural Computation 2002), with the window's shares known.
    """
    recent = recent_rows(days, independent, window_days)
    if not len(recent):
        return None
    places = np.searchsorted(solved.labels, labels)
    count = len(solved.labels)
    shares = np.bincount(places[recent], minlength=count) + _SMOOTHING
    shares = shares / shares.sum()
    # Every solved label has a row that weighs more than nothing.
    learnt = np.bincount(places, weights=weights, minlength=count)
    return Prior(solved.labels, shares, np.log(shares) - np.log(learnt / learnt.sum()))


def recent_rows(days: Floats, independent: Ids, window_days: float | None) -> Ids:
    """Return those of the rows `independent` that lie in the last `window_days`; none where no window is asked for."""
    if window_days is None:
        return independent[:0]
    found: Ids = independent[days[independent] > days.max(initial=-np.inf) - window_days]
    return found
