"""Labels that no row carries yet, or few of late: answered from what their words say, as often as such a label may come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from perennial_artifact.sentence.head import Features
from trainers.learners.heads.families.family import Answering, Worded
from trainers.learners.heads.families.thresholds import by_share
from trainers.learners.heads.rows import HeadRows
from trainers.learners.heads.solving import Floats, Ids, Weights

_SHARE = 0.5
"""Of an average label's share of the texts: how often a label is expected of which rows say little."""
_FEW = 20
"""Rows from which on they say enough of how often a label comes."""
_MOST_ROWS = 2_000
_STEPS = 50
_FAR = 60.0


def from_words(
    rows: HeadRows, found: Weights, answering: Answering, trust: float, declared: Sequence[int]
) -> tuple[Weights, Answering]:
    """Return a solved head with a row for each label of `declared` (ids) that it lacks and that has words, and how it answers.

    Such a label's row is what its words say, and its bias such that on the rows its mean probability is half an average label's
    share. One of fewer than 20 rows is not answered more rarely than that, nor than its share of the rows since its first: one
    example among thousands from before it says nothing of how often it will come. With `trust` 0 all stays as it is.
    """
    centre, family = rows.centre(trust), rows.family
    if centre is None or not isinstance(family, Worded):
        return found, answering
    new = np.array(sorted(label for label in {*declared}.difference(found.labels.tolist()) if centre[label].any()), dtype=np.intp)
    share = _SHARE * family.usual_share(rows.labels)
    places = np.concatenate([found.labels, new]).argsort()
    labels = np.concatenate([found.labels, new])[places]
    weight = np.concatenate([found.weight, centre[new]])[places]
    bias = np.concatenate([found.bias, np.full(len(new), -_FAR, dtype=np.float32)])[places]
    least = _least_shares(rows, family, labels, centre, share)
    scores = Weights(labels, weight, bias).scores(rows.features[:: -(-len(rows) // _MOST_ROWS)])
    for at in np.flatnonzero(least > 0.0):
        if family.probabilities(scores)[:, at].mean() < least[at]:
            more = _raised(family, scores, int(at), float(least[at]))
            scores[:, at] += more
            bias[at] += np.float32(more)
    if answering.thresholds is not None and len(new):
        own = dict.fromkeys(new.tolist(), float(by_share(np.array([share]))[0]))
        answering = replace(answering, thresholds={**answering.thresholds, **own})
    return Weights(labels, weight, bias), answering


def _least_shares(rows: HeadRows, family: Worded, labels: Ids, centre: Features, share: float) -> Floats:
    """Return how often each label is to be expected at least; 0 for one without words, or of enough rows."""
    carried, least = family.carried(rows.labels, len(centre)), np.zeros(len(labels))
    for at, label in enumerate(labels):
        days = rows.days[carried[:, label]]
        if len(days) < _FEW and centre[label].any():
            since = int((rows.days >= days.min()).sum()) if len(days) else 0
            least[at] = min(share, len(days) / since) if since else share
    return least


def _raised(family: Worded, scores: Floats, at: int, share: float) -> float:
    """Return what to add to the logits of a label for a mean probability of `share` on the rows, by bisection."""
    low, high = 0.0, 2.0 * _FAR + float(np.abs(scores).max())
    for _step in range(_STEPS):
        middle = (low + high) / 2
        moved = scores.copy()
        moved[:, at] += middle
        low, high = (middle, high) if family.probabilities(moved)[:, at].mean() < share else (low, middle)
    return (low + high) / 2
