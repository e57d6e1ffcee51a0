"""A run carried out once more: what it found then and now, and whether the two agree."""

from __future__ import annotations

from typing import Literal

from daemon.views.view import JsonFloat, View


class Figure(View):
    """One figure of both times."""

    name: str
    then: JsonFloat
    now: JsonFloat
    counts: bool
    """Whether the two must agree; the others are shown only."""
    agrees: bool


class Made(View):
    """What one of the two was made with; empty: not recorded."""

    hardware: str
    """Device, precision and threads."""
    processor: str
    code: str
    """Versions of program and libraries."""
    train_s: float
    score_s: float


class Repetition(View):
    """Both times, and the verdict."""

    run_id: str
    task: str
    version: str | None
    agrees: bool
    expected: Literal["equal", "close"]
    """`equal`: to the last bit."""
    tolerance: float
    """Of the figures that count: 0 where they must be equal; of an unbounded metric as a share."""
    why: tuple[str, ...]
    """Reasons for the tolerance, in words."""
    figures: tuple[Figure, ...]
    answers: int
    """Rows that both candidates answered."""
    answers_same: int
    """Those whose answers are the same, confidence included where all must be equal."""
    model: Literal["identical", "different", "unknown"]
    """The candidate's files beside those that were published; unknown: no version is recorded."""
    then: Made
    now: Made
    notes: tuple[str, ...] = ()
    """What stands in the place of something that is gone."""
