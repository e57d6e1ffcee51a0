"""How far both models' numbers are off in each dimension, and whether texts that a model rates higher are rated higher."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from trainers.compare.answers import Answers, Where
from trainers.compare.metrics import catalog
from trainers.compare.metrics.metric import LabelScores, Metric, Target
from trainers.compare.parts.slices import MIN_SLICE_ROWS, Slice

DIMENSION = "dimension:"
_VALUES = "values"
_BINS = 10
_METRICS = ("mae", "rmse", "spearman")


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Errors(_Value):
    """One model in one dimension; both errors in the units of the dimension."""

    mae: float
    rmse: float
    spearman: float


class Levels(_Value):
    """Rows by rising answer of the candidate, in up to ten parts of like size: what a calibration plot shows."""

    rows: tuple[int, ...]
    said: tuple[float, ...]
    """The mean answer of each part."""
    true: tuple[float, ...]
    """The mean of the right numbers there."""


class DimensionScores(_Value):
    """Both models in one dimension, on the deciding rows that have a number there."""

    name: str
    rows: int
    candidate: Errors
    champion: Errors
    levels: Levels


def scores_of(answers: Answers, names: list[str]) -> tuple[DimensionScores, ...]:
    """Return the scores in each dimension that gold and both models have numbers for."""
    return tuple(found for name in names if (found := _of_one(answers, name)) is not None)


def dimension_slices(metric: Metric, answers: Answers, names: list[str]) -> Iterator[Slice]:
    """Yield the deciding metric of each dimension with enough rows, by which a task may guard it."""
    for name in names if len(names) > 1 else ():
        part = part_of(answers, name)[0]
        if len(part) >= MIN_SLICE_ROWS:
            candidate, champion = metric.pair(*part.columns).scores()
            found = LabelScores(len(part), candidate, champion)
            yield Slice(
                name=f"{DIMENSION}{name}", rows=found.rows, champion_score=found.opponent, candidate_score=found.candidate,
                lower_is_better=metric.scale.lower_is_better,
            )  # fmt: skip


def _of_one(answers: Answers, name: str) -> DimensionScores | None:
    part = part_of(answers, name)[0]
    if not len(part):
        return None
    found = {metric: catalog.find(metric).pair(*part.columns).scores() for metric in _METRICS}
    candidate, champion = (Errors(**{metric: float(both[side]) for metric, both in found.items()}) for side in (0, 1))
    return DimensionScores(name=name, rows=len(part), candidate=candidate, champion=champion, levels=_levels(part, name))


def part_of(answers: Answers, name: str) -> tuple[Answers, Where]:
    """Return the rows in which all three have a number for a dimension, without the other dimensions, and which they are."""
    known = (all(name in one[_VALUES] for one in row) for row in zip(*answers.columns, strict=True))
    here = np.flatnonzero(np.fromiter(known, np.bool_, len(answers)))
    return Answers(*([_alone(column[at], name) for at in here.tolist()] for column in answers.columns)), here


def _alone(row: Target, name: str) -> dict[str, Any]:
    return {_VALUES: {name: row[_VALUES][name]}}


def _levels(part: Answers, name: str) -> Levels:
    said, true = (np.array([row[_VALUES][name] for row in column]) for column in (part.candidate, part.gold))
    parts = np.array_split(np.argsort(said, kind="stable"), min(_BINS, len(said)))
    return Levels(
        rows=tuple(len(rows) for rows in parts),
        said=tuple(float(said[rows].mean()) for rows in parts),
        true=tuple(float(true[rows].mean()) for rows in parts),
    )
