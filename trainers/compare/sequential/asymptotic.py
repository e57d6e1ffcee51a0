"""A lower bound that holds at every look, for any score with a standard error (Waudby-Smith et al., arXiv 2103.06476)."""

from __future__ import annotations

import math

_LEAST = 1e-12


def tightest(alpha: float) -> float:
    """Return where, in multiples of `1 / rho^2`, a sequence at the one-sided level `alpha` is tightest (their appendix B.2)."""
    # A one-sided bound at alpha is about one side of a two-sided sequence at 2 alpha; beyond 1/2 that is no level any more.
    log = -2.0 * math.log(min(2.0 * alpha, 0.9))
    return log + math.log(log + 1.0)


def width(information: float, alpha: float, *, planned: float) -> float:
    """Return how many standard errors below the estimate the one-sided bound lies.

    `information` is 1 / standard error^2, which grows by one for each row of variance 1; the bound is tightest where it is
    `planned`. Robbins' normal mixture: sqrt(2 (x + 1) / x * log(1 + sqrt(x + 1) / (2 alpha))) with x = information * rho^2.
    """
    x = max(information / planned * tightest(alpha), _LEAST)
    return math.sqrt(2.0 * (x + 1.0) / x * math.log1p(math.sqrt(x + 1.0) / (2.0 * alpha)))


def lower_bound(estimate: float, standard_error: float, alpha: float, *, planned: float) -> float:
    """Return the bound; with many rows it is above the true value at no look at all, but with probability `alpha`.

    -infinity where the standard error is 0 or infinite: then the rows say nothing of how uncertain the estimate is.
    """
    if standard_error <= 0.0 or math.isinf(standard_error):
        return -math.inf
    return estimate - standard_error * width(1.0 / standard_error**2, alpha, planned=planned)
