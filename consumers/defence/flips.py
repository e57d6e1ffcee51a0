"""The label-flip alarm: corrections that move one label to another far more often than they used to. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from consumers.defence.agreement import Target, marks, overlapping

UNKNOWN, NOTHING, ANY = "(unknown)", "(nothing)", "(any)"
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


def moves(answer: Mapping[str, Any] | None, target: Target, confident_from: float) -> list[str]:
    """Return the moves of a correction that an alarm counts, such as `A -> B` and `(any) -> B`, in order.

    Against an answer given with a probability below `confident_from` there are none; where no answer is cited every label of
    the target counts as moved from `(unknown)`: leaving the answer out must not be a way past the alarm. For spans there is
    no `(any) -> B`: a text holds many, and most corrections of a day may well add one of the commonest type.
    """
    if "label" not in target:
        return sorted(f"{old} -> {new}" for old, new in _span_moves(answer, target))
    pairs = _label_moves(answer, target, confident_from)
    return sorted(f"{start} -> {new}" for old, new in pairs for start in (old, ANY))


def _label_moves(answer: Mapping[str, Any] | None, target: Target, confident_from: float) -> set[tuple[str, str]]:
    if answer is None:
        return {(UNKNOWN, target["label"])}
    probability = answer.get("scores", {}).get(answer["label"], 1.0)
    if answer["label"] == target["label"] or probability < confident_from:
        return set()
    return {(answer["label"], target["label"])}


def _span_moves(answer: Mapping[str, Any] | None, target: Target) -> set[tuple[str, str]]:
    if answer is None:
        return {(UNKNOWN, label) for _, _, label in marks(target)}
    shown, said = marks(answer), marks(target)
    pairs = list(overlapping(shown, said))
    changed = {(old[2], new[2]) for old, new in pairs if old[2] != new[2]}
    met_shown, met_said = {old for old, _ in pairs}, {new for _, new in pairs}
    added = {(NOTHING, new[2]) for new in said if new not in met_said}
    removed = set() if target.get("partial") else {(old[2], NOTHING) for old in shown if old not in met_shown}
    return changed | added | removed
