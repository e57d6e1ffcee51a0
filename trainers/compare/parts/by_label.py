"""Precision, recall and F1 of both models on each label, where a text may have several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from trainers.compare.answers import Answers
from trainers.compare.metrics.f1 import MICRO_F1
from trainers.compare.metrics.metric import Target

MAX_LABELS = 100
"""Those that most rows have: more than that nobody reads."""
_SEVERAL = "labels"
_Counts = dict[str, NDArray[np.intp]]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LabelFigures(_Value):
    """One model on one label, each 0..1; 0 where there is nothing to divide by."""

    precision: float
    recall: float
    f1: float


class LabelMeasures(_Value):
    """Both models on one label."""

    name: str
    rows: int
    """Rows that have the label in gold (its support)."""
    candidate: LabelFigures
    champion: LabelFigures


def measures_of(answers: Answers) -> tuple[LabelMeasures, ...]:
    """Return the labels in gold or in an answer, the most frequent first; nothing where texts do not have several."""
    if not all(_SEVERAL in target for target in answers.gold):
        return ()
    ours, theirs = _counted(answers.gold, answers.candidate), _counted(answers.gold, answers.opponent)
    nothing = np.zeros(3, dtype=np.intp)
    support = {label: int(ours.get(label, nothing)[0]) for label in ours.keys() | theirs.keys()}
    names = sorted(support, key=lambda label: (-support[label], label))[:MAX_LABELS]
    return tuple(
        LabelMeasures(
            name=name, rows=support[name],
            candidate=_figures(ours.get(name, nothing)), champion=_figures(theirs.get(name, nothing)),
        )
        for name in names
    )  # fmt: skip


def _counted(gold: Sequence[Target], said: Sequence[Target]) -> _Counts:
    """Return of each label in how many rows it is right, found and claimed."""
    totals: _Counts = {}
    for target, answer in zip(gold, said, strict=True):
        for label, counts in MICRO_F1.count(target, answer).items():
            totals[label] = totals[label] + counts if label in totals else np.array(counts)
    return totals


def _figures(counts: NDArray[np.intp]) -> LabelFigures:
    there, hits, claimed = (int(count) for count in counts)
    return LabelFigures(precision=_share(hits, claimed), recall=_share(hits, there), f1=_share(2 * hits, there + claimed))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
