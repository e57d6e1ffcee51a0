"""What a version, its opponent, the oracle and people are worth: each against what is right, on the same rows."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from trainers.compare.metrics.scale import MaybeInfinite, Scale

Who = Literal["this version", "opponent", "oracle", "people"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Scored(_Value):
    """One of them on some rows."""

    who: Who
    score: MaybeInfinite
    lower: MaybeInfinite
    """Bounds of the score, each one-sided at the confidence of the policy: a bootstrap that draws whole stories."""
    upper: MaybeInfinite


class Ground(_Value):
    """Test rows, and all who answered every one of them."""

    rows: int
    stories: int
    scored: tuple[Scored, ...]


class Sides(_Value):
    """All of them on the test rows of a run."""

    metric: str
    scale: Scale
    confidence: float
    tested: int
    """Test rows of the run, each with a label of people."""
    oracle: int
    """Of these, rows that the oracle answered too."""
    refused: int
    """Rows about which the oracle was asked and gave no usable answer."""
    people: int
    """Rows that a second person labelled too."""
    asked: bool
    """Whether the task has a rubric for the oracle."""
    prompt: str = ""
    """SHA-256 of the oracle's prompt."""
    grounds: tuple[Ground, ...] = ()
    """Rows with the oracle, rows with a second person, and rows with both."""
