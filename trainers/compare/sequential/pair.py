"""The test of one pair of models while labels come in: what its gain must reach at each look, whatever the looks before said.

A candidate passes three tests at once: that its gain exceeds 0, at the pair's level; that it exceeds minus the minimum, at a
tenth of that; and that it exceeds the minimum, at a level of one half over all looks. The last says that the gain exceeds the
minimum after it was corrected for stopping when it was high: with one look it is "the gain exceeds the minimum".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist

from pydantic import BaseModel, ConfigDict

from trainers.compare.metrics.scale import MaybeInfinite
from trainers.compare.sequential import counted
from trainers.compare.sequential.counted import GROWTH, OneSided
from trainers.compare.sequential.look import Look
from trainers.compare.statistics import EQUAL_LEVEL

WORSE_SHARE = 0.1
"""The level against candidates that are worse by the minimum, as a share of that against those that are no better."""
_EVEN = 0.5
_SPENDING = counted.power(1.0)


class PairTest(BaseModel):
    """Where the test of a pair stands at a look."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: float
    """Probability with which a candidate that is no better passes, over all looks."""
    planned: MaybeInfinite
    """Information at which the plan ends, infinite where there is no minimum to be told from noise."""
    drawn: float
    """Of the texts that were drawn for people, the share that was asked about so far, 0..1: the plan ends with the last too."""
    earlier: tuple[Look, ...] = ()
    now: Look | None = None
    """None: there are too few rows to look at, or they say nothing of how uncertain the gain is."""
    gain: MaybeInfinite = 0.0
    """The least that it may be, whatever is right where nobody could tell."""

    def looked(self, gain: float, standard_error: float, *, enough: bool) -> PairTest:
        """Return the test with this look at a gain; no look where rows are not `enough`."""
        if not enough or not 0.0 < standard_error < math.inf:
            return self.model_copy(update={"now": None, "gain": gain})
        information = standard_error**-2
        share = min(max(information / self.planned, self.drawn), 1.0)
        return self.model_copy(update={"now": Look(information=information, share=share), "gain": gain})

    @property
    def number(self) -> int:
        """Which look this is, from 1."""
        return len(self.earlier) + 1

    @property
    def ended(self) -> bool:
        """Whether the rows tell the minimum from noise as well as planned, so that further ones are not asked for."""
        return self.now is not None and self.now.information >= self.planned

    def needed(self, minimum: float) -> float:
        """Return the gain that passes at this look; infinite where none does, as without more rows than at the last look."""
        return math.inf if self.now is None else list(self.reaches(minimum))[-1]

    def passes(self, minimum: float) -> bool:
        """Return whether the candidate passes at this look."""
        return self.gain > self.needed(minimum)

    def corrected(self, minimum: float) -> float:
        """Return the gain corrected for the looks before: right in the median, where the measured one is too large."""
        if self.now is None:
            return self.gain
        reaches = list(self.reaches(minimum))[:-1]
        before = [
            counted.Look(look.information, reach)
            for look, reach in zip(self.earlier, reaches, strict=True)
            if look.information * GROWTH <= self.now.information
        ]
        return counted.corrected(self.gain, self.now.information, before)

    def reaches(self, minimum: float) -> Iterator[float]:
        """Yield the gain that passed, or passes, at each look so far, the present one last."""
        tests = [OneSided(0.0, self.level, self.planned, _SPENDING)]
        if minimum > 0.0:
            tests.append(OneSided(-minimum, self.level * WORSE_SHARE, self.planned, _SPENDING))
            tests.append(OneSided(minimum, _EVEN, self.planned, _SPENDING))
        for look in (*self.earlier, *([self.now] if self.now else [])):
            found = [test.look(look.information, look.share) for test in tests]
            yield max(reach for reach, _after in found)
            tests = [after for _reach, after in found]


def planned(minimum: float) -> float:
    """Return the information at which a candidate that is no better shows the minimum in fewer than 1 of 125 looks.

    As many rows as `statistics.required_rows` asks for at a first look; infinite without a minimum, and for one out of reach.
    """
    if minimum <= 0.0 or math.isinf(minimum):
        return math.inf
    return (NormalDist().inv_cdf(1.0 - EQUAL_LEVEL) / minimum) ** 2
