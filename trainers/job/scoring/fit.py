"""How a candidate does on rows that it has learnt, beside those that are held out."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from trainers.compare.metrics.scale import MaybeInfinite


class Fit(BaseModel):
    """The candidate on a sample of its training rows, and on the rows that decide."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    rows: int
    """Training rows that it answered; a sample."""
    score: MaybeInfinite
    """On these."""
    held_out: int
    held_out_score: MaybeInfinite
