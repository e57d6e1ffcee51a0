"""Both models' scores from rows labelled with known probabilities, and how uncertain they are: the one function for all metrics.

A score is a function of totals, such as the hits, claims and gold spans of all rows. Each total is estimated by weighting rows
with the inverse of their probability (Horvitz and Thompson 1952). The function is then made linear at these totals, so that the
variance of a score is that of a weighted sum of one number a row, its influence (Woodruff 1971; Binder 1983); numbers are summed
within a cluster first, and centred within a stratum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainers.compare.resampling.folded import FoldedSums
from trainers.compare.resampling.sums import PairedSums, Sums
from trainers.compare.sampling.design import Design
from trainers.compare.sampling.expected import Expected
from trainers.compare.sampling.inclusion import Floats

_STEP = 1e-5
_CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True)
class Scored:
    """Both models' estimated scores and their covariance, candidate first."""

    scores: Floats
    """(2,)"""
    covariance: Floats
    """(2, 2)"""

    def contrast(self, candidate: float, opponent: float) -> tuple[float, float]:
        """Return `candidate` times its score plus `opponent` times the other's, and the standard error of that."""
        by = np.array([candidate, opponent])
        return float(by @ self.scores), float(np.sqrt(max(by @ self.covariance @ by, 0.0)))


def scored(paired: PairedSums | FoldedSums, design: Design, expected: Expected | None = None) -> Scored:
    """Return both models' scores over the pool that the rows of `design` were drawn from.

    `paired` has one unit a row. With `expected` labels correct what answers alone let one expect. Shares of strata that were
    counted in a pool of finite size add their own variance (two-phase sampling, Neyman 1938); a sample is not taken to be part of
    a finite pool otherwise, because the articles to come are what counts. A stratum with one labelled row tells no variance: its
    row is not centred, which errs on the safe side. Raises ValueError where rows and design differ in number; without rows both
    scores are 0 and the covariance infinite.
    """
    if len(paired) != len(design.strata):
        message = f"{len(paired)} rows and {len(design.strata)} of the design"
        raise ValueError(message)
    if len(paired) == 0:
        return Scored(np.zeros(2), np.diag(np.full(2, np.inf)))
    if isinstance(paired, FoldedSums):
        if expected is None:
            scores, influences = _linear(paired.patterns, paired.times(design.weights), np.ones(len(paired.patterns)), None)
            return Scored(scores, covariance(influences[paired.at], design))
        paired = paired.each
    trust = np.ones(len(paired)) if expected is None else expected.trust
    scores, influences = _linear(paired, design.weights * trust, trust, expected)
    return Scored(scores, covariance(influences, design))


def influences(paired: PairedSums, counts: Floats) -> Floats:
    """Return how much one more of each unit moves both scores (units, 2) where the units count `counts` (units,)."""
    return _linear(paired, counts, np.ones(len(paired)), None)[1]


def _linear(paired: PairedSums, counts: Floats, trust: Floats, expected: Expected | None) -> tuple[Floats, Floats]:
    """Return both scores (2,) of units that count `counts`, and the influence of each unit on them (units, 2)."""
    scores, influences = np.empty(2), np.empty((len(paired), 2))
    shared, ours, theirs = _beyond(paired, expected)
    base = (0.0, 0.0, 0.0) if expected is None else expected.totals
    for which, (own, known) in enumerate(((ours, base[1]), (theirs, base[2]))):
        # A correction of what is expected may leave less than nothing of a rare class.
        totals = np.maximum(base[0] + counts @ shared, 0.0), np.maximum(known + counts @ own, 0.0)
        scores[which] = float(paired.score(*totals))
        of_shared, of_own = _gradient(paired, *totals)
        influences[:, which] = trust * (shared @ of_shared + own @ of_own)
    return scores, influences


def covariance(influences: Floats, design: Design) -> Floats:
    """Return the covariance (k, k) of weighted sums over rows of `influences` (rows, k)."""
    weighted = influences * design.weights[:, None]
    counts = np.bincount(design.strata)
    rows = counts[design.strata][:, None]
    means = _added_up(design.strata, weighted)[design.strata] / rows
    centred = np.where(rows > 1, (weighted - means) * np.sqrt(rows / np.maximum(rows - 1, 1)), weighted)
    together = _added_up(design.clusters, centred)
    found = together.T @ together
    if design.pool is not None:
        # How much of the pool a stratum is was counted in `pool` rows: a mean over strata varies with these counts.
        shares = np.bincount(design.strata, design.weights) / design.pool
        of_strata = _added_up(design.strata, weighted)
        inside = shares > 0.0
        by_row = of_strata[inside] / shares[inside, None]
        apart = by_row - shares[inside] @ by_row
        found = found + (apart * shares[inside, None]).T @ apart / design.pool
    return np.asarray(found)


def _added_up(numbers: NDArray[np.intp], columns: Floats) -> Floats:
    """Return the sums (groups, k) of the rows of `columns` (rows, k) by the group that each belongs to."""
    return np.stack([np.asarray(np.bincount(numbers, column), dtype=np.float64) for column in columns.T], axis=1)


def _beyond(paired: PairedSums, expected: Expected | None) -> tuple[Sums, Sums, Sums]:
    """Return what each row adds to the sums beyond what was expected of it."""
    if expected is None:
        return paired.shared, paired.candidate, paired.opponent
    return (
        paired.shared - expected.shared,
        paired.candidate - expected.candidate,
        paired.opponent - expected.opponent,
    )


def _gradient(paired: PairedSums, shared: Sums, own: Sums) -> tuple[Sums, Sums]:
    """Return the derivatives of the score by its totals, shapes of `shared` and `own`, by central differences.

    A total of 0 has no row that adds to it, so its derivative multiplies nothing.
    """
    totals = np.concatenate([shared, own])
    gradient = np.zeros(len(totals))
    columns = np.flatnonzero(totals != 0.0)
    portion = max(1, _CELLS_AT_ONCE // max(2 * len(totals), 1))
    for start in range(0, len(columns), portion):
        some = columns[start : start + portion]
        steps = np.abs(totals[some]) * _STEP
        moved = np.tile(totals, (2, len(some), 1))
        at = np.arange(len(some))
        moved[0, at, some] += steps
        moved[1, at, some] -= steps
        up, down = paired.score(moved[..., : len(shared)], moved[..., len(shared) :])
        gradient[some] = (up - down) / (2.0 * steps)
    return gradient[: len(shared)], gradient[len(shared) :]
