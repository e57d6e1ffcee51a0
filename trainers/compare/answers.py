"""The scores table of a run, read once: gold and both models' answers, of all rows or of a part of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainers.compare.metrics.metric import Target

Where = NDArray[np.intp]
"""Numbers of rows, from 0."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What is right and what both models say, row by row."""

    gold: Sequence[Target]
    candidate: Sequence[Target]
    opponent: Sequence[Target]

    @classmethod
    def read(cls, scores: pa.Table) -> Self:
        """Read the columns `gold`, `candidate` and `opponent`: targets and answers as JSON."""
        return cls(*([json.loads(text) for text in scores[name].to_pylist()] for name in ("gold", "candidate", "opponent")))

    def __len__(self) -> int:
        return len(self.gold)

    def take(self, where: Where) -> Answers:
        """Return these rows, in this order."""
        return Answers(*([column[index] for index in where] for column in self.columns))

    @property
    def alike(self) -> bool:
        """Whether both models answer every row alike, whatever probabilities they give."""
        return all(said(ours) == said(theirs) for ours, theirs in zip(self.candidate, self.opponent, strict=True))

    @property
    def columns(self) -> tuple[Sequence[Target], Sequence[Target], Sequence[Target]]:
        """Gold, candidate and opponent, as metrics take them."""
        return self.gold, self.candidate, self.opponent


def said(answer: Target) -> Mapping[str, Any]:
    """Return what an answer says, without how sure the model is of it and how much it read."""
    return {key: value for key, value in answer.items() if key not in ("scores", "truncated")}


def rows_where(column: Sequence[Any], value: Any) -> Where:  # noqa: ANN401 - any value of the column
    """Return which rows hold this value."""
    return np.array([index for index, each in enumerate(column) if each == value], dtype=np.intp)
