"""Streams for `gate_rates`: labels come in by the week, until a candidate passes. How long that takes, and how often in error.

Every week brings the same number of labels, and another candidate of the same true gain. Today's gate sees a new candidate each
week on the random rows of the last 13 weeks. By counted looks one candidate is tested until it passes, cannot any more, or its
plan is used up; then the next begins, with none of its labels. An estimate is a normal number whose spread per label was
measured row by row (`gate_worlds`), so that thousands of years take seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from trainers.compare.sequential import asymptotic
from trainers.compare.sequential.allowance import A_YEAR, SAVED, TAKEN
from trainers.compare.sequential.counted import Motion, OneSided, power
from trainers.compare.statistics import WORSE_LEVEL, alpha_at

LABELS_A_WEEK = 84 * 12 / 52
"""84 held-out rows a month."""
WEEKS_A_YEAR = 52
WINDOW_WEEKS = 13
_LEAST_ROWS = 200
_FIRST_LOOK_LABELS = 90
PLAN = 2.41
"""A test is planned to the information at which its standard error is the minimum gain over this: an equal candidate then shows
the minimum in fewer than 1 of 125 looks, as `statistics.required_rows` has it."""
EXPONENT = 1.0
_WORSE_SHARE = 0.1
"""The level against candidates that are worse by the minimum, as a share of that against equal ones."""
_HOPELESS = NormalDist().inv_cdf(0.95)
_FAR = 1e6  # standard errors that no estimate reaches
_LEVELS = np.geomspace(1e-6, 1e-2, 7)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Waited:
    """What became of many streams."""

    weeks: Floats
    """(streams,): until a candidate passed; infinite where none did."""
    candidates: float
    """Tested in a stream, on average."""

    def mean(self, longest: int) -> float:
        """Return the mean wait; who waits longer counts as `longest`."""
        return float(np.minimum(self.weeks, longest).mean())

    def within(self, weeks: int) -> float:
        """Return the share of streams with a promotion within so many weeks."""
        return float((self.weeks <= weeks).mean())


def of_today(gain: float, minimum: float, per_label: float, *, streams: int, weeks: int, rng: np.random.Generator) -> Waited:
    """Return the waits with the shipped gate: new candidates weekly, each on its own, on the random rows of 13 weeks."""
    waited = np.full(streams, np.inf)
    for week in range(1, weeks + 1):
        inside = min(week, WINDOW_WEEKS)
        rows = inside * LABELS_A_WEEK
        if rows < _LEAST_ROWS:
            continue
        deviation = per_label / math.sqrt(rows)
        looks = 1 + math.ceil((inside - 1) / 2)
        z, worse = (-NormalDist().inv_cdf(level) for level in (alpha_at(looks), WORSE_LEVEL))
        needed = max(z * deviation, minimum, worse * deviation - minimum)
        passed = rng.normal(gain, deviation, streams) > needed
        waited = np.where(passed & np.isinf(waited), week, waited)
    return Waited(waited, weeks)


class Plan:
    """What an estimate must reach, week by week of one candidate's test, in standard errors above each null."""

    def __init__(self, minimum: float, per_label: float, *, mixture: bool = False) -> None:
        """`mixture`: asymptotic confidence sequences instead of counted looks."""
        self.minimum = minimum
        self.information = LABELS_A_WEEK / per_label**2
        """What a week adds."""
        self.first = math.ceil(_FIRST_LOOK_LABELS / LABELS_A_WEEK)
        self.weeks = max(self.first + 1, math.ceil((PLAN / minimum) ** 2 / self.information))
        row = self._mixture if mixture else self._counted
        self._by_level = np.stack([row(float(level)) for level in _LEVELS])
        self._even = row(0.5)

    def limits(self, level: float) -> Floats:
        """Return how many standard errors above 0 an estimate must be in each week (weeks,), for a level of 1e-6 to 0.01."""
        return self._at(np.arange(1, self.weeks + 1), np.full(self.weeks, level))

    def needed(self, week: NDArray[np.intp], level: Floats) -> Floats:
        """Return the gain that must be reached (streams,) in the week of each stream's test, at its level."""
        error = 1.0 / np.sqrt(week * self.information)
        equal, worse = self._at(week, level), self._at(week, level * _WORSE_SHARE)
        better = self.minimum + self._even[week - 1] * error
        return np.asarray(np.maximum(np.maximum(equal * error, better), worse * error - self.minimum))

    def _at(self, week: NDArray[np.intp], level: Floats) -> Floats:
        logs = np.log(_LEVELS)
        place = np.clip((np.log(np.maximum(level, 1e-12)) - logs[0]) / (logs[1] - logs[0]), 0.0, len(logs) - 1.001)
        below = place.astype(np.intp)
        low, high = self._by_level[below, week - 1], self._by_level[below + 1, week - 1]
        return np.asarray(low + (place - below) * (high - low))

    def _counted(self, level: float) -> Floats:
        test, row = OneSided(0.0, level, planned=float(self.weeks), spending=power(EXPONENT)), np.full(self.weeks, _FAR)
        for week in range(self.first, self.weeks + 1):
            reach, test = test.look(float(week))
            row[week - 1] = min(reach * math.sqrt(week), _FAR)
        return row

    def _mixture(self, level: float) -> Floats:
        row = np.full(self.weeks, _FAR)
        for week in range(self.first, self.weeks + 1):
            row[week - 1] = asymptotic.width(float(week), level, planned=self.weeks / 2.0)
        return row


def by_looks(plan: Plan, gain: float, *, streams: int, weeks: int, rng: np.random.Generator) -> Waited:
    """Return the waits where one candidate is tested at a time, by counted looks, with levels from the task's allowance."""
    left = np.full(streams, SAVED * (1.0 - TAKEN))
    level = np.full(streams, SAVED * TAKEN)
    week, total, waited = np.zeros(streams, np.intp), np.zeros(streams), np.full(streams, np.inf)
    candidates = np.ones(streams)
    for now in range(1, weeks + 1):
        left = np.minimum(left + A_YEAR / WEEKS_A_YEAR, SAVED)
        week += 1
        total += rng.normal(gain * plan.information, math.sqrt(plan.information), streams)
        known = week * plan.information
        estimate = total / known
        open_ = np.isinf(waited)
        waited = np.where(open_ & (estimate >= plan.needed(week, level)), now, waited)
        hopeless = (estimate + _HOPELESS / np.sqrt(known) < plan.minimum) & (week >= plan.first)
        ended = np.isinf(waited) & (hopeless | (week >= plan.weeks))
        level, left = np.where(ended, left * TAKEN, level), np.where(ended, left * (1.0 - TAKEN), left)
        candidates += ended
        restart = ended | ~np.isinf(waited)
        week, total = np.where(restart, 0, week), np.where(restart, 0.0, total)
    return Waited(waited, float(candidates.mean()))


def corrections(plan: Plan, gain: float, *, streams: int, rng: np.random.Generator) -> dict[str, float]:
    """Return how far the gain at the end of a test is off, as measured and as corrected, and how often it is covered.

    One candidate a stream, at the level of the first; a test ends where it passes or with its plan. Corrected gains are
    median-unbiased over the stage-wise order. They are read from a table of true values, because one by one they take long.
    """
    level = np.full(1, SAVED * TAKEN)
    reaches = [float(plan.needed(np.array([week]), level)[0]) for week in range(1, plan.weeks + 1)]
    steps = rng.normal(gain * plan.information, math.sqrt(plan.information), (streams, plan.weeks))
    estimates = np.cumsum(steps, axis=1) / (np.arange(1, plan.weeks + 1) * plan.information)
    passed = estimates >= np.array(reaches)
    at = np.where(passed.any(axis=1), passed.argmax(axis=1), plan.weeks - 1)
    measured, came = estimates[np.arange(streams), at], passed.any(axis=1)
    values = np.linspace(-2.0 * plan.minimum, gain + 4.0 * plan.minimum, 41)
    strengths = _strengths(plan, reaches, list(zip((at + 1).tolist(), measured.tolist(), strict=True)), values)
    medians, lower = (np.array([np.interp(quantile, line, values) for line in strengths]) for quantile in (0.5, 0.05))
    return {
        "passed": float(came.mean()),
        "true_gain": gain,
        "measured_gain_of_passed": float(measured[came].mean()) if came.any() else math.nan,
        "corrected_gain_of_passed": float(medians[came].mean()) if came.any() else math.nan,
        "measured_gain_above_true": float((measured > gain).mean()),
        "corrected_gain_above_true": float((medians > gain).mean()),
        "lower_bound_95_covers": float((lower <= gain).mean()),
    }


def _strengths(plan: Plan, reaches: Sequence[float], found: Sequence[tuple[int, float]], values: Floats) -> Floats:
    """Return the probability of evidence as strong as each of `found`, for each true value: (found, values)."""
    strengths = np.zeros((len(found), len(values)))
    last = max(week for week, _estimate in found)
    for column, value in enumerate(values):
        motion, before = Motion(), 0.0
        for week in range(plan.first, last + 1):
            information = week * plan.information
            for line, (at, estimate) in enumerate(found):
                if at == week:
                    strengths[line, column] = before + motion.passing(information, estimate * information, float(value))
            limit = reaches[week - 1] * information
            if math.isfinite(limit):
                before += motion.passing(information, limit, float(value))
            motion = motion.going_on(information, limit, float(value))
    return strengths
