"""What a task measures: named dimensions with their ranges and weights, and the tiers that their weighted mean falls into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_DIMENSIONS = 100
LARGEST = 1e12
"""No range reaches further: squares of such numbers, summed over many rows, still are numbers."""
VALUES = "values"
"""The key of targets and answers, and the column of an import that holds all numbers of a row."""
_OTHER_COLUMNS = frozenset({"text", "title", "body", "time", "id", "group", VALUES})

Bound = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]


class Dimension(BaseModel):
    """One thing that is measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[
        str, Field(pattern=r"^[^\W\d][\w.-]{0,99}$", description="Letters, digits, `_`, `.` and `-`; begins with a letter.")
    ]
    low: Annotated[Bound, Field(description="The lowest value; a lower one is refused.")]
    high: Annotated[Bound, Field(description="The highest value; a higher one is refused.")]
    weight: Annotated[float, Field(gt=0, le=1e6, description="Share in MAE, RMSE, the tuning loss and the score, relative.")] = (
        1.0
    )

    @model_validator(mode="after")
    def _has_a_range(self) -> Self:
        if self.low >= self.high:
            message = f"dimension {self.name} ranges from {self.low:g} to {self.high:g}; low must be below high"
            raise ValueError(message)
        if self.name in _OTHER_COLUMNS:
            message = f"a dimension cannot be called {self.name}: imports have a column of that name; give it another one"
            raise ValueError(message)
        return self

    def holds(self, value: float) -> bool:
        """Return whether a value is in the range."""
        return self.low <= value <= self.high


def wrong(dimensions: Sequence[Dimension], tiers: Mapping[str, float]) -> str | None:
    """Return, in words, what is wrong with the dimensions and tiers of a task; None where nothing is."""
    names = [dimension.name for dimension in dimensions]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        return f"dimensions names {twice[0]} twice; remove one"
    if not tiers:
        return None
    if len({(dimension.low, dimension.high) for dimension in dimensions}) > 1:
        return "tiers need one range for all dimensions, because they are of the weighted mean; give all the same low and high"
    return _wrong_tiers(dimensions[0], sorted(tiers.values()))


def _wrong_tiers(one: Dimension, begins: Sequence[float]) -> str | None:
    if len(set(begins)) < len(begins):
        return "two tiers begin at the same value; give each its own"
    if begins[0] > one.low:
        return f"no tier holds values from {one.low:g} to {begins[0]:g}; let the lowest tier begin at {one.low:g}"
    if not begins[-1] <= one.high:
        return f"a tier begins at {begins[-1]:g}, and the highest value is {one.high:g}; lower it"
    return None


def score_of(values: Mapping[str, float], weights: Mapping[str, float]) -> float | None:
    """Return the weighted mean of the values of known dimensions; None without one. `weights` are by dimension."""
    known = [name for name in values if name in weights]
    total = sum(weights[name] for name in known)
    return sum(values[name] * weights[name] for name in known) / total if known else None


def tier_of(score: float, tiers: Mapping[str, float]) -> str:
    """Return the tier that a score falls into: of those that begin at or below it, the highest; below all, the lowest."""
    rising = sorted(tiers, key=tiers.__getitem__)
    return next((name for name in reversed(rising) if tiers[name] <= score), rising[0])
