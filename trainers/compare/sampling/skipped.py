"""Rows that nobody could label: between which bounds the gain lies, whatever their answer would have been."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainers.compare.metrics.metric import Metric, Target
from trainers.compare.resampling.sums import PairedSums
from trainers.compare.sampling.design import Design
from trainers.compare.sampling.linearised import Scored, scored


@dataclass(frozen=True, slots=True)
class WithSkips:
    """Both models' scores on what was labelled, and as they would be if what was skipped were as one of them answered."""

    labelled: Scored
    """Without the rows that were skipped, as if those were like the others of their stratum."""
    against: Scored
    """The opponent is right in each row that was skipped: no answer to them makes the candidate's gain much smaller."""
    in_favour: Scored
    """The candidate is."""
    skipped: int


def with_skips(
    metric: Metric, gold: Sequence[Target | None], candidate: Sequence[Target], opponent: Sequence[Target], design: Design
) -> WithSkips:
    """Return the scores with rows whose `gold` is None (skipped, or "cannot tell") left out, and both bounds.

    With a row's target unknown, the gain is least where the opponent's answer is the target and greatest where the candidate's
    is: exactly so for accuracy and for mean absolute errors (|c - g| - |o - g| <= |c - o|), and for F1 but for what the row adds
    to the number of targets. Raises ValueError where the metric is no function of sums over rows.
    """
    known = np.array([target is not None for target in gold], dtype=np.bool_)
    sides = (
        scored(_sums(metric, [side if target is None else target for target, side in zip(gold, answers, strict=True)],
                     candidate, opponent), design)
        for answers in (opponent, candidate)
    )  # fmt: skip
    against, in_favour = sides
    if known.all():
        return WithSkips(against, against, against, skipped=0)
    rows = np.flatnonzero(known).tolist()
    there = [target for target in gold if target is not None]
    ours, theirs = ([answers[row] for row in rows] for answers in (candidate, opponent))
    return WithSkips(scored(_sums(metric, there, ours, theirs), without(design, known)), against, in_favour, int((~known).sum()))


def without(design: Design, known: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Design:
    """Return the design of the rows that are `known` (rows,): those of a stratum stand for the ones it lost as well."""
    weights = design.weights
    strata = design.strata
    before = np.bincount(strata, weights)
    after = np.bincount(strata[known], weights[known], minlength=len(before))
    grown = np.divide(before, after, out=np.ones(len(before)), where=after > 0.0)
    inclusion = np.minimum(design.inclusion / grown[strata], 1.0)[known]
    clusters = np.unique(design.clusters[known], return_inverse=True)[1].astype(np.intp)
    return Design(strata[known], inclusion, clusters, design.pool)


def _sums(metric: Metric, gold: Sequence[Target], candidate: Sequence[Target], opponent: Sequence[Target]) -> PairedSums:
    paired = metric.pair(gold, candidate, opponent)
    if not isinstance(paired, PairedSums):
        message = f"{metric.name} is no function of sums over rows, so labels of unequal probability cannot be weighed for it"
        raise ValueError(message)  # noqa: TRY004 - a value that does not fit, not a wrong type
    return paired
