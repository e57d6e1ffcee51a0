"""What both models' answers alone let one expect of rows: known for the whole pool, so that labels correct it and no more.

The difference estimator (Saerndal, Swensson and Wretman 1992): a total over the pool is the sum of what is expected of each row,
plus the weighted sum over labelled rows of what was found beyond it. What a model claims is known without a label, and so takes
no part in the noise; without that, labels of rows on which two models agree, few and of great weight, drown a gain in macro F1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainers.compare.resampling.sums import PairedSums, Sums
from trainers.compare.sampling.design import Design
from trainers.compare.sampling.inclusion import DIFFER, Floats

ROWS_OF_PRIOR = 5.0
"""Labels per class that what is expected of rows with answers alike weighs as much as."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of each labelled row and in all of the pool; columns as of `PairedSums`."""

    shared: Sums
    """(rows, S)"""
    candidate: Sums
    """(rows, M)"""
    opponent: Sums
    """(rows, M)"""
    totals: tuple[Floats, Floats, Floats]
    """(S,), (M,) and (M,): over the pool."""
    trust: Floats
    """(rows,): the share of what was found beyond expectation that counts."""


def of_f1(labelled: PairedSums, design: Design, candidate_claims: Sums, opponent_claims: Sums) -> Expected:
    """Return what is expected of rows whose sums are gold, hits and claims by class, as of `trainers.compare.metrics.f1`.

    `candidate_claims` and `opponent_claims` (strata, classes) are what each model claims in all rows of the pool, by stratum. A
    claim is expected to be a hit as often as the model's claims of that stratum are, and gold to be spread over classes as both
    models' claims are. Where both agree (stratum `AGREE`), what labels find beyond that only weighs classes against each other;
    it counts by n / (n + 5 classes) for n labels, because a class of which one row of great weight was found would
    outweigh all others. Where they differ it counts in full, so the gain stays free of bias but for that weighing.
    """
    gold = labelled.shared
    strata = design.strata
    sides = []
    for own, claims in ((labelled.candidate, candidate_claims), (labelled.opponent, opponent_claims)):
        hits, claimed = np.split(own, 2, axis=1)
        share = _ratio(_by_stratum(hits.sum(axis=1), design, len(claims)), _by_stratum(claimed.sum(axis=1), design, len(claims)))
        sides.append((
            np.hstack([share[strata, None] * claimed, claimed]),
            np.concatenate([share @ claims, claims.sum(axis=0)]),
            claimed,
        ))  # fmt: skip
    (ours, all_ours, our_claims), (theirs, all_theirs, their_claims) = sides
    middle, all_middle = (our_claims + their_claims) / 2.0, (candidate_claims + opponent_claims) / 2.0
    spread = _ratio(
        _by_stratum(gold.sum(axis=1), design, len(all_middle)), _by_stratum(middle.sum(axis=1), design, len(all_middle))
    )
    labels = np.bincount(strata, minlength=len(all_middle))[strata]
    trust = np.where(strata == DIFFER, 1.0, labels / (labels + ROWS_OF_PRIOR * gold.shape[1]))
    return Expected(spread[strata, None] * middle, ours, theirs, (spread @ all_middle, all_ours, all_theirs), trust)


def of_errors(labelled: PairedSums, known: Floats) -> Expected:
    """Return what is expected of rows whose sums are whether a number is known, and both models' errors: the former alone.

    `known` (dimensions,) are the rows of the pool that have each dimension. Rows that are labelled because two answers are far
    apart stand for few rows, so their number must not be estimated from labels.
    """
    nothing, zero = np.zeros_like(labelled.candidate), np.zeros(labelled.candidate.shape[1])
    trust = np.ones(len(labelled))
    return Expected(labelled.shared, nothing, nothing, (np.asarray(known, dtype=np.float64), zero, zero), trust)


def _by_stratum(values: Floats, design: Design, strata: int) -> Floats:
    """Return the weighted sum of `values` (rows,) in each stratum (strata,)."""
    return np.asarray(np.bincount(design.strata, design.weights * values, minlength=strata), dtype=np.float64)


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.asarray(np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0.0))
