"""The label-flip alarm: corrections that move one label to another far more often than they used to. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from config.kinds import catalog as kinds
from config.kinds.kind import Answer, Target

_PRIOR = 10
"""Corrections of each sort that are taken for granted before there is a history, so that its share starts at a half."""
_SIGMAS = 3.0


@dataclass(frozen=True, slots=True)
class Flow:
    """Corrections that make one move, in the window and in the history before it."""

    moved: int
    of: int
    """All corrections of the window."""
    moved_before: int
    of_before: int

    @property
    def usual_share(self) -> float:
        """The share that the history leads one to expect, 0..1."""
        return (self.moved_before + _PRIOR) / (self.of_before + 2 * _PRIOR)

    def is_alarming(self, min_count: int) -> bool:
        """Return whether the window's share lies above what its history allows.

        The upper limit of a p chart (Shewhart 1931), for n corrections and a usual share p: p + 3 sqrt(p (1 - p) / n).
        """
        if self.moved < min_count:
            return False
        usual = self.usual_share
        return self.moved / self.of > usual + _SIGMAS * math.sqrt(usual * (1 - usual) / self.of)


def moves(answer: Answer | None, target: Target, confident_from: float) -> list[str]:
    """Return the moves of a correction that an alarm counts (see `Kind.moves`), such as `A -> B` and `(any) -> B`, in order."""
    return sorted(f"{old} -> {new}" for old, new in kinds.of(target).moves(answer, target, confident_from))
