"""How good the probabilities of label answers are: calibration, the next-best labels, and what a threshold leaves unanswered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap
from operator import eq, itemgetter
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from perennial_artifact.abstaining import abstains
from trainers.compare.metrics.labels import BINS, accuracy, bin_of, expected_calibration_error, ranked, within
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
        return None if found is None else cls.of_sure(found, gold, answers, abstain_below=abstain_below)

    @classmethod
    def of_sure(cls, found: Sureness, gold: Sequence[Target], answers: Sequence[Target], *, abstain_below: float = 0.0) -> Self:
        """Return the same, where it is `found` already how sure the answers are."""
        error, reliability = expected_calibration_error(found.sure, found.right), _reliability(found)
        if found.ranks is None:
            return cls(calibration_error=error, top_2=None, top_3=None, reliability=reliability, of_each_label=True)
        asked = abstain_below > 0.0
        answered = [place for place, each in enumerate(answers) if not abstains(each, abstain_below)] if asked else []
        others = accuracy([str(gold[place]["label"]) for place in answered], [str(answers[place]["label"]) for place in answered])
        return cls(
            calibration_error=error,
            top_2=within(found.ranks, 2),
            top_3=within(found.ranks, 3),
            reliability=reliability,
            abstained=1.0 - len(answered) / len(answers) if asked else None,
            accuracy_of_others=others if answered else None,
        )


@dataclass(frozen=True, slots=True)
class Sureness:
    """How sure a model is of each answer, or of each label of each answer, and whether that is right; one place each."""

    rows: NDArray[np.intp]
    """Which row each belongs to."""
    sure: NDArray[np.float64]
    """Probabilities, 0..1."""
    right: NDArray[np.bool_]
    ranks: NDArray[np.intp] | None
    """Of each row how many labels are more probable than the right one; None where texts may have several labels."""


def sureness(gold: Sequence[Target], answers: Sequence[Target]) -> Sureness | None:
    """Return how sure answers are and which are right; None without rows, or where an answer has no probabilities.

    Of texts with several labels these are of each label of each text; of a label that whoever gave the gold did not know nothing
    is counted.
    """
    if not answers or len(gold) != len(answers):
        return None
    if "labels" not in gold[0]:
        return _of_one_label(gold, answers)
    if not all(starmap(_comparable, zip(gold, answers, strict=True))):
        return None
    rows: list[int] = []
    sure: list[float] = []
    right: list[bool] = []
    for at, (target, answer) in enumerate(zip(gold, answers, strict=True)):
        carried, scope = set(target["labels"]), target.get("scope")
        known = answer["scores"].keys() if scope is None else answer["scores"].keys() & {*scope, *carried}
        rows += [at] * len(known)
        sure += [min(max(float(answer["scores"][name]), 0.0), 1.0) for name in known]
        right += [name in carried for name in known]
    return Sureness(np.array(rows, np.intp), np.array(sure, np.float64), np.array(right, np.bool_), None)


def _of_one_label(gold: Sequence[Target], answers: Sequence[Target]) -> Sureness | None:
    """Return the sureness of texts that have one label. Each step is one call for all rows: there may be 100,000."""
    try:
        right, said = (list(map(itemgetter("label"), targets)) for targets in (gold, answers))
        scores = list(map(itemgetter("scores"), answers))
    except KeyError:
        return None
    kinds = set(map(type, scores))
    if not all(issubclass(kind, Mapping) for kind in kinds) or not all(scores):
        return None
    highest, ranks = ranked(right, scores if kinds == {dict} else list(map(dict, scores)))
    return Sureness(np.arange(len(answers)), highest, np.fromiter(map(eq, said, right), np.bool_, len(said)), ranks)


def _comparable(gold: Target, answer: Target) -> bool:
    scores = answer.get("scores")
    return "labels" in gold and "labels" in answer and isinstance(scores, Mapping) and bool(scores)


def _reliability(found: Sureness) -> Reliability:
    which = bin_of(found.sure)
    rows = np.bincount(which, minlength=BINS)
    held = np.flatnonzero(rows)
    confidence, hits = (
        np.bincount(which, weights=np.asarray(values, dtype=np.float64), minlength=BINS)[held] / rows[held]
        for values in (found.sure, found.right)
    )
    return Reliability(rows=tuple(rows[held].tolist()), confidence=tuple(confidence.tolist()), accuracy=tuple(hits.tolist()))
