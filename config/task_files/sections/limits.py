"""Absolute limits: what a candidate's score must reach, whatever the champion does."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_Score = Annotated[float, Field(allow_inf_nan=False)]


class Limit(BaseModel):
    """The limits of one metric, in its direction."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    deploy: Annotated[_Score, Field(description="A score better than this may go into production.")]
    review: Annotated[
        _Score | None, Field(description="A person looks at a score up to this; null: there is nothing between deploy and fail.")
    ] = None


def misfit(limits: Mapping[str, Limit], metrics: Collection[str], kind: str) -> str | None:
    """Return, in words, which limit is of a metric that the kind of the task does not have; None where all fit."""
    unknown = next((name for name in limits if name not in metrics), None)
    if unknown is None:
        return None
    return f"promotion.limits names {unknown!r}, which does not fit kind {kind}; choose among {', '.join(metrics)}"
