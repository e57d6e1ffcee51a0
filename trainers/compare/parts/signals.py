"""Both models' signals, as what reports know: numbers of dimensions, labels of texts, and a part of each category."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from trainers.compare.answers import Answers, Where
from trainers.compare.metrics.metric import LabelScores, Metric, Target
from trainers.compare.metrics.signals import SIGNALS, as_labels, as_values
from trainers.compare.parts.slices import MIN_SLICE_ROWS, Slice

SIGNAL = "signal:"


def as_numbers(answers: Answers) -> Answers:
    """Return the scores as the numbers of a regression."""
    return Answers(*([as_values(row) for row in column] for column in answers.columns))


def as_texts_with_labels(answers: Answers) -> Answers:
    """Return the tags as the labels of texts that may have several."""
    return Answers(*as_labels(*answers.columns))


def signal_slices(metric: Metric, answers: Answers, names: Sequence[str]) -> Iterator[Slice]:
    """Yield the deciding metric of each category with enough rows, by which a task may guard it."""
    for name in names if len(names) > 1 else ():
        part, here = part_of(answers, name)
        if len(here) < MIN_SLICE_ROWS:
            continue
        candidate, champion = metric.pair(*part.columns).scores()
        found = LabelScores(len(here), candidate, champion)
        yield Slice(
            name=f"{SIGNAL}{name}", rows=found.rows, champion_score=found.opponent, candidate_score=found.candidate,
            lower_is_better=metric.scale.lower_is_better,
        )  # fmt: skip


def part_of(answers: Answers, name: str) -> tuple[Answers, Where]:
    """Return the rows that gold says something of a category of, without the other categories, and which they are."""
    here = np.flatnonzero(np.fromiter((name in row[SIGNALS] for row in answers.gold), np.bool_, len(answers)))
    return Answers(*([_alone(column[at], name) for at in here.tolist()] for column in answers.columns)), here


def _alone(row: Target, name: str) -> dict[str, Any]:
    return {SIGNALS: {key: said for key, said in row[SIGNALS].items() if key == name}}
