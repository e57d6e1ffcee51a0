"""Counted looks: how large an estimate must be at each, so that all looks together err no more often than was allowed.

An estimate whose rows only grow behaves, look by look, like a Brownian motion over its information, 1 / standard error^2
(Jennison and Turnbull 1997, for any estimate that uses its rows efficiently). What may be spent by a look follows its information
(Lan and DeMets 1983), so looks need no plan. How likely it is to have passed before is integrated look by look (Armitage,
McPherson and Rowe 1969), by Gauss-Legendre quadrature.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

GROWTH = 1.01
"""Information grows by this factor at least before rows are looked at again."""
_NODES = 96
_REACH = 8.0  # standard deviations beyond which a motion has no weight
_NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Motion:
    """Where the sum of evidence may stand if no look so far has passed: masses (nodes,) at places (nodes,) on its scale."""

    information: float = 0.0
    places: tuple[float, ...] | Floats = (0.0,)
    masses: tuple[float, ...] | Floats = (1.0,)

    def passing(self, information: float, threshold: float, drift: float = 0.0) -> float:
        """Return the probability to stand at `threshold` or above at `information`, not having passed before.

        Sums are estimate times information; `drift` is the true value.
        """
        grown = information - self.information
        gaps = (threshold - np.asarray(self.places) - drift * grown) / math.sqrt(grown)
        return float(np.asarray(self.masses) @ _tail(gaps))

    def going_on(self, information: float, threshold: float, drift: float = 0.0) -> Motion:
        """Return the motion after a look at `information` that did not reach `threshold`."""
        grown = information - self.information
        places, masses = np.asarray(self.places), np.asarray(self.masses)
        lowest = drift * information - _REACH * math.sqrt(information)
        highest = min(threshold, drift * information + _REACH * math.sqrt(information))
        if highest <= lowest:
            return Motion(information, (lowest,), (0.0,))
        nodes, shares = _quadrature()
        half = (highest - lowest) / 2.0
        new = lowest + half * (nodes + 1.0)
        apart = (new[:, None] - places[None, :] - drift * grown) / math.sqrt(grown)
        density = np.exp(-0.5 * apart**2) @ masses / math.sqrt(2.0 * math.pi * grown)
        return Motion(information, new, density * shares * half)


def threshold(motion: Motion, information: float, spend: float) -> float:
    """Return the sum of evidence that is reached at `information` with the probability `spend`, if the true value is 0.

    Infinite where nothing is to be spent.
    """
    if spend <= 0.0:
        return _NEVER
    reach = _REACH * math.sqrt(information)
    if motion.passing(information, -reach) <= spend:
        return -_NEVER
    return _root(lambda at: spend - motion.passing(information, at), -reach, reach)


Spending = Callable[[float], float]
"""From the share of the planned information that is there, 0 to 1, to the share of the error that may be spent by then."""


def power(exponent: float) -> Spending:
    """Return the spending function share^exponent (Kim and DeMets 1987): the larger, the more is kept for late looks."""

    def spent(share: float) -> float:
        return float(min(max(share, 0.0), 1.0) ** exponent)

    return spent


@dataclass(frozen=True, slots=True)
class OneSided:
    """A one-sided test of "the true value is at most `null`" at `level` over all its looks."""

    null: float
    level: float
    planned: float
    """Information at which all of the error is spent; no later look passes."""
    spending: Spending
    motion: Motion = Motion()
    spent: float = 0.0
    """Of the level, by the looks so far."""

    def look(self, information: float, share: float | None = None) -> tuple[float, OneSided]:
        """Return the estimate that must be reached at this information, and the test after a look that did not reach it.

        `share` of the plan is over by then, 0 to 1; by default that of its information. It may follow anything that does not
        depend on the estimate, such as labels (Lan and DeMets 1989). Infinite, and the test as it was, where information has not
        grown by `GROWTH` since the last look or nothing is left.
        """
        if information < self.motion.information * GROWTH or self.spent >= self.level:
            return _NEVER, self
        allowed = self.level * self.spending(information / self.planned if share is None else share)
        limit = threshold(self.motion, information, allowed - self.spent)
        after = OneSided(
            self.null, self.level, self.planned, self.spending, self.motion.going_on(information, limit), max(allowed, self.spent)
        )
        return self.null + limit / information, after


@dataclass(frozen=True, slots=True)
class Look:
    """A look that is over: what was known, and what an estimate had to reach."""

    information: float
    reached_at: float
    """Infinite where no estimate would have passed."""


def corrected(estimate: float, information: float, before: Sequence[Look], *, quantile: float = 0.5) -> float:
    """Return the true value at which evidence at least this strong has the probability `quantile`: by default the median.

    A look that passes stops the test, and lucky ones pass early: the estimate there is too large. Evidence is ordered by the look
    at which it passed, then by the estimate (Tsiatis, Rosner and Mehta 1984), so only looks that are over matter. 0.05 and 0.95
    give one-sided bounds.
    """
    error = 1.0 / math.sqrt(information)
    return _root(
        lambda value: _as_strong(estimate, information, before, value) - quantile,
        estimate - 12.0 * error,
        estimate + 12.0 * error,
    )


def _as_strong(estimate: float, information: float, before: Sequence[Look], value: float) -> float:
    """Return the probability of evidence as strong, or stronger, if `value` is true."""
    motion, found = Motion(), 0.0
    for look in before:
        if look.information < motion.information * GROWTH or look.information * GROWTH > information:
            continue
        limit = look.reached_at * look.information
        found += motion.passing(look.information, limit, value) if math.isfinite(limit) else 0.0
        motion = motion.going_on(look.information, limit, value)
    return found + motion.passing(information, estimate * information, value)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function that grows crosses 0 between two places, or the place at its end where it does not."""
    from scipy.optimize import brentq  # noqa: PLC0415 - as below

    if function(low) >= 0.0 or function(high) <= 0.0:
        return low if function(low) >= 0.0 else high
    return float(brentq(function, low, high, xtol=1e-9 * (high - low), rtol=1e-9))


@cache
def _quadrature() -> tuple[Floats, Floats]:
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return np.asarray(nodes), np.asarray(weights)


def _tail(z: Floats) -> Floats:
    """Return the probability that a standard normal number exceeds z."""
    from scipy.special import ndtr  # noqa: PLC0415 - only where it is used: a child near its memory limit starts with less

    return np.asarray(ndtr(-z))
