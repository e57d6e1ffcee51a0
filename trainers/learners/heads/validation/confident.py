"""Confident learning: which labels are probably wrong, from probabilities that were cross-validated.

C. G. Northcutt, L. Jiang, I. L. Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70 (2021),
sections 3.1 and 3.2: a row counts for the label j with the highest probability among those whose probability reaches t_j, the
mean probability of j over the rows that are labelled j; where that is another label than its own, its label is in doubt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from perennial_artifact.sentence.head import Matrix
from trainers.learners.heads.solving import Floats, Ids, solve

_PARTS = 5
LEAST_GROUPS = 5
"""Groups of texts that must carry a label before it is judged: with fewer, some head has hardly seen it."""
_MOST_FITTED = 10_000
"""More rows are thinned out evenly: to judge needs no more."""
_STRENGTH = 1.0
"""A tenth of what heads that answer begin with: one that fits wrong labels less tells them better (`docs/benchmarks.md`)."""


@dataclass(frozen=True, slots=True)
class InDoubt:
    """A row whose label is probably wrong."""

    place: int
    suggested: int
    """The label that it counts for."""
    score: float
    """1 - the probability of its own label."""


def cross_validated(features: Matrix, labels: Ids, groups: Ids, *, seed: int = 0) -> Floats:
    """Return the probability of each label (0 to K - 1) for each row, by heads that have seen no row of its group.

    `features` has shape (n, features); `groups` numbers what must not vouch for each other, such as near copies. Shape (n, K);
    not a number in rows that cannot be judged: of labels that fewer than five groups carry.
    """
    count = int(labels.max(initial=-1)) + 1
    found = np.full((len(labels), count), np.nan)
    carried = np.array([len(np.unique(groups[labels == label])) for label in range(count)])
    known = np.flatnonzero(carried[labels] >= LEAST_GROUPS) if len(labels) else labels
    if len(np.unique(labels[known])) < 2:  # noqa: PLR2004 - one label is nothing to tell apart
        return found
    parts = (np.random.default_rng(seed).permutation(int(groups.max()) + 1) % _PARTS)[groups]
    for part in range(_PARTS):
        fit, mine = known[parts[known] != part], known[parts[known] == part]
        fit = fit[:: -(-len(fit) // _MOST_FITTED)] if len(fit) else fit
        if not len(mine) or len(np.unique(labels[fit])) < 2:  # noqa: PLR2004 - see above
            continue
        head = solve(features[fit], labels[fit], np.ones(len(fit)), strength=_STRENGTH)
        found[np.ix_(mine, head.labels)] = softmax(head.scores(features[mine]), axis=1)
        unseen = np.setdiff1d(np.arange(count), head.labels)
        found[np.ix_(mine, unseen)] = 0.0
    return found


def in_doubt(probabilities: Floats, labels: Ids) -> list[InDoubt]:
    """Return the rows whose labels are in doubt, the least probable label first; `probabilities` is of `cross_validated`."""
    judged = np.flatnonzero(np.isfinite(probabilities).all(axis=1)) if probabilities.size else np.empty(0, np.intp)
    if not len(judged):
        return []
    shown, own = probabilities[judged], labels[judged]
    thresholds = np.full(probabilities.shape[1], np.inf)
    for label in np.unique(own):
        thresholds[label] = shown[own == label, label].mean()
    confident: npt.NDArray[np.float64] = np.where(shown >= thresholds - 1e-12, shown, -1.0)
    counts_for = confident.argmax(axis=1)
    wrong = (confident.max(axis=1) >= 0.0) & (counts_for != own)
    found = [InDoubt(int(judged[at]), int(counts_for[at]), float(1.0 - shown[at, own[at]])) for at in np.flatnonzero(wrong)]
    return sorted(found, key=lambda one: (-one.score, one.place))


@dataclass(frozen=True, slots=True)
class OfLabels:
    """What is in doubt where a text may have several labels."""

    judged: npt.NDArray[np.bool_]
    """Shape (n): rows that were judged by at least one label."""
    doubts: Mapping[int, Mapping[int, float]]
    """By row the labels that are probably missing or wrongly given, each with its score (0..1)."""


def in_doubt_by_label(features: Matrix, has: npt.NDArray[np.bool_], groups: Ids, *, seed: int = 0) -> OfLabels:
    """Return the labels in doubt, each judged by itself: a text has it or has it not.

    `has` has shape (n, labels); the rest is as for `cross_validated`. Confident learning per label is what the paper's authors
    do for several labels (A. Thyagarajan and others, "Identifying Incorrect Annotations in Multi-Label Classification Data",
    2022), whose score of a text is a mean over labels; here a person is asked of one text, so the worst label counts.
    """
    judged = np.zeros(len(has), dtype=bool)
    doubts: dict[int, dict[int, float]] = {}
    for label in range(has.shape[1]):
        own = has[:, label].astype(np.intp)
        probabilities = cross_validated(features, own, groups, seed=seed)
        judged |= np.isfinite(probabilities).all(axis=1)
        for one in in_doubt(probabilities, own):
            doubts.setdefault(one.place, {})[label] = one.score
    return OfLabels(judged, doubts)
