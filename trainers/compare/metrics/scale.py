"""How a metric's scores are to be read: which direction is better, between which bounds, and in which unit."""

from __future__ import annotations

import math
from typing import Annotated, Literal, overload

from pydantic import BaseModel, ConfigDict, PlainSerializer

from trainers.compare.resampling.paired import Scores

# JSON knows no infinity; the word is read back as one.
MaybeInfinite = Annotated[float, PlainSerializer(lambda value: value if math.isfinite(value) else str(value), when_used="json")]

POINTS = "points"
"""Hundredths: a score of 0.712 and one of 0.763 are 5.1 points apart."""


class Scale(BaseModel):
    """Direction, bounds and unit of a metric, and how its scores are shown. Stored with every comparison."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    """Its name in a sentence: `macro F1`."""
    better: Literal["higher", "lower"] = "higher"
    lowest: MaybeInfinite = 0.0
    """No score is lower."""
    highest: MaybeInfinite = 1.0
    """No score is higher; infinite where a metric has no such bound."""
    unit: str = POINTS
    """Unit of differences: `points`, or the unit of the target for an error in that unit."""

    @property
    def lower_is_better(self) -> bool:
        """Whether the metric counts errors."""
        return self.better == "lower"

    @property
    def bounded(self) -> bool:
        """Whether a difference of two scores means the same for every target: both bounds are finite."""
        return math.isfinite(self.highest - self.lowest)

    @property
    def best(self) -> float:
        """The score that nothing can beat; infinite where there is none."""
        return self.lowest if self.lower_is_better else self.highest

    @overload
    def gain(self, candidate: float, opponent: float) -> float: ...
    @overload
    def gain(self, candidate: Scores, opponent: Scores) -> Scores: ...
    def gain(self, candidate: float | Scores, opponent: float | Scores) -> float | Scores:
        """Return the improvement in the metric's direction: positive where the candidate is better, whatever the metric."""
        return opponent - candidate if self.lower_is_better else candidate - opponent

    def format_score(self, score: float) -> str:
        """Return a score as people read it: `0.712`; of an unbounded metric four digits, such as `1324` or `0.03127`."""
        return f"{score:.3f}" if self.bounded else f"{score:.4g}"

    def format_gain(self, gain: float, *, sign: bool = False, unit: bool = True) -> str:
        """Return a gain or a margin as people read it: `5.1 points`; in another unit three digits, such as `+0.0125 km`."""
        plus = "+" if sign else ""
        number = f"{gain * 100:{plus}.1f}" if self.unit == POINTS else f"{gain:{plus}.3g}"
        return f"{number} {self.unit}" if unit else number
