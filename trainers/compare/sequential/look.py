"""One look at a pair of models, as it is recorded."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Look(BaseModel):
    """How much was known at a look, and how much of the error may be spent by then."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    information: float
    """1 / standard error^2 of the gain."""
    share: float
    """0..1 of the plan."""
