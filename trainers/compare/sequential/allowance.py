"""The allowance of false promotions of a task: it accrues by the day, and every candidate that is tested takes a part of it.

Whatever the candidates are and however many, a year's promotions of candidates that are no better number at most what accrues in
a year and what had been saved before, on average: the sum of the levels of all tests bounds it. A test that ends early gives
nothing back: it ends because its candidate looks bad, and those that would have passed in error are not among them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

A_YEAR = 0.0045
"""Promotions of candidates that are no better, in a year: with what is saved 0.9 of 100 at most; 1 of 100 is promised."""
SAVED = 0.0045
"""At most this much of it is saved."""
TAKEN = 0.8
"""The share of what is there that a candidate takes."""
DAYS_A_YEAR = 365.25


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a task's allowance at a time, in days from any start. A task begins with all that can be saved."""

    left: float = SAVED
    day: float = 0.0

    def at(self, day: float) -> Allowance:
        """Return the allowance at a later day; an earlier one changes nothing."""
        accrued = A_YEAR * max(day - self.day, 0.0) / DAYS_A_YEAR
        return Allowance(min(self.left + accrued, SAVED), max(day, self.day))

    def take(self) -> tuple[float, Allowance]:
        """Return the level of a new candidate's test, and the allowance without it."""
        level = self.left * TAKEN
        return level, replace(self, left=self.left - level)
