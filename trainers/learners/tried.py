"""What a run tried before it settled on its candidate."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict


class Tried(BaseModel):
    """One choice that was tried on training rows held back for it; the held-out rows take no part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Such as `half-life 365 days, prior of the last 182 days`."""
    scores: Mapping[str, float]
    """By metric; empty where the choice was not scored."""
    cpu_s: float
    """CPU seconds that trying it took."""
    chosen: bool
