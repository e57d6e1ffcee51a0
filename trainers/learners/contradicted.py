"""Training rows that weigh less, because heads fitted on other rows contradict their labels strongly."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Contradicted(BaseModel):
    """What a run's report says of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    judged: int
    """Rows of labels with enough others to judge by, chosen without looking at a model."""
    weight: float
    """The share of its weight that such a row keeps."""
    strongest: tuple[str, ...]
    """Example ids of the five whose labels were least probable. An erasure takes out those of what it erases."""
