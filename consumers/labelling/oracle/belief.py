"""How far the confidence that a language model states is to be believed, from texts of the train side that people labelled. Pure.

Models are surer than they are right. So what a label weighs is the stated confidence times the share of answers that agree with
people over the mean confidence of the same answers, as far as that is below 1. Rows that test have no part in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.tasks import TaskSpec
from consumers.labelling.oracle.answers import Said
from consumers.labelling.oracle.calibration.verdict import agrees

LEAST_TEXTS = 20
"""Texts below which the stated confidence stands as it is."""
_LEAST_WEIGHT = 0.01


@dataclass(frozen=True, slots=True)
class Belief:
    """What the stated confidence of a prompt is worth."""

    right: int = 0
    """Answers that agree with people."""
    of: int = 0
    stated: float = 0.0
    """The mean confidence of these answers."""

    @property
    def factor(self) -> float:
        """What the confidence is multiplied by: 1 where it is no higher than it should be, or too few texts tell."""
        if self.of < LEAST_TEXTS or not self.stated:
            return 1.0
        # The mean of the Beta(1 + right, 1 + wrong) posterior: all right of 20 is no certainty.
        return min(1.0, (1 + self.right) / (2 + self.of) / self.stated)


NOTHING_KNOWN = Belief()


def belief(task: TaskSpec, answers: Sequence[tuple[Said, Mapping[str, Any]]]) -> Belief:
    """Return what the stated confidence is worth, from answers and what people say of the same texts."""
    right = sum(agrees(task, said.target, gold) for said, gold in answers)
    stated = sum(said.confidence for said, _gold in answers) / len(answers) if answers else 0.0
    return Belief(right, len(answers), stated)


def weight_of(task: TaskSpec, said: Said, trusted: Belief) -> float:
    """Return what a label weighs in training beside a person's 1: above 0."""
    return max(_LEAST_WEIGHT, round(task.oracle.weight * said.confidence * trusted.factor, 2))
