"""How good the probabilities of label answers are: calibration, the next-best labels, and what a threshold leaves unanswered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import starmap
from typing import Annotated, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from perennial_artifact.abstaining import abstains, highest
from trainers.compare.metrics.labels import BINS, accuracy, bin_of, expected_calibration_error, top_k_accuracy
from trainers.compare.metrics.metric import Target

_Share = Annotated[float, Field(ge=0.0, le=1.0)]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Reliability(_Value):
    """The bins of the calibration error that hold rows, by rising confidence: what a reliability diagram shows."""

    rows: tuple[int, ...]
    """Answers, or where texts have several labels, labels of texts."""
    confidence: tuple[float, ...]
    """The mean highest probability of the bin's answers, or the mean probability of its labels."""
    accuracy: tuple[float, ...]
    """The share of them that is right."""


class Probabilities(_Value):
    """What one model's probabilities are worth on some rows; all shares 0..1."""

    calibration_error: _Share
    """Expected calibration error: over 15 bins of equal width, the gap between mean confidence and accuracy, weighted by rows.

    After Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks" (ICML 2017).
    """
    top_2: _Share | None
    """Rows whose label is among the two most probable; None where texts have several."""
    top_3: _Share | None
    reliability: Reliability
    of_each_label: bool = False
    """Whether a text may have several labels: then the probability of each label of each text counts, not that of the answer."""
    abstained: _Share | None = None
    """Rows whose answer abstains by the task's `abstain_below`; None where that is 0."""
    accuracy_of_others: _Share | None = None
    """Of the rows answered without abstaining; None where there are none, or `abstain_below` is 0."""

    @classmethod
    def of(cls, gold: Sequence[Target], answers: Sequence[Target], *, abstain_below: float = 0.0) -> Self | None:
        """Return what the answers' `scores` are worth against `gold`; None without rows, or where an answer carries none."""
        found = sureness(gold, answers)
        if found is None:
            return None
        _rows, sure, right = found
        if "labels" in gold[0]:
            error = expected_calibration_error(sure, right)
            return cls(calibration_error=error, top_2=None, top_3=None, reliability=_reliability(sure, right), of_each_label=True)
        labels, scores = [str(each["label"]) for each in gold], [each["scores"] for each in answers]
        answered = [place for place, each in enumerate(answers) if not abstains(each, abstain_below)]
        others = accuracy([labels[place] for place in answered], [str(answers[place]["label"]) for place in answered])
        asked = abstain_below > 0.0
        return cls(
            calibration_error=expected_calibration_error(sure, right),
            top_2=top_k_accuracy(labels, scores, 2),
            top_3=top_k_accuracy(labels, scores, 3),
            reliability=_reliability(sure, right),
            abstained=1.0 - len(answered) / len(answers) if asked else None,
            accuracy_of_others=others if asked and answered else None,
        )


def sureness(gold: Sequence[Target], answers: Sequence[Target]) -> tuple[list[int], list[float], list[bool]] | None:
    """Return row, probability and whether it was right of each answer; None without rows, or where an answer has none.

    Of texts with several labels these are of each label of each text; of a label that whoever gave the gold did not know nothing
    is counted.
    """
    if not answers or not all(starmap(_comparable, zip(gold, answers, strict=True))):
        return None
    if "labels" not in gold[0]:
        right = [each["label"] == str(target["label"]) for target, each in zip(gold, answers, strict=True)]
        return list(range(len(answers))), [highest(each) or 0.0 for each in answers], right
    rows: list[int] = []
    sure: list[float] = []
    right = []
    for at, (target, answer) in enumerate(zip(gold, answers, strict=True)):
        carried, scope = set(target["labels"]), target.get("scope")
        known = answer["scores"].keys() if scope is None else answer["scores"].keys() & {*scope, *carried}
        rows += [at] * len(known)
        sure += [min(max(float(answer["scores"][name]), 0.0), 1.0) for name in known]
        right += [name in carried for name in known]
    return rows, sure, right


def _comparable(gold: Target, answer: Target) -> bool:
    scores = answer.get("scores")
    alike = any(key in gold and key in answer for key in ("label", "labels"))
    return alike and isinstance(scores, Mapping) and bool(scores)


def _reliability(sure: Sequence[float], right: Sequence[bool]) -> Reliability:
    which = bin_of(sure)
    rows = np.bincount(which, minlength=BINS)
    held = np.flatnonzero(rows)
    confidence, hits = (
        np.bincount(which, weights=np.asarray(values, dtype=np.float64), minlength=BINS)[held] / rows[held]
        for values in (sure, right)
    )
    return Reliability(rows=tuple(rows[held].tolist()), confidence=tuple(confidence.tolist()), accuracy=tuple(hits.tolist()))
