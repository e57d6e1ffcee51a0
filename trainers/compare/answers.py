"""The scores table of a run, read once: gold and both models' answers, of all rows or of a part of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
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
        return cls(*(_targets(scores[name]) for name in ("gold", "candidate", "opponent")))

    def __len__(self) -> int:
        return len(self.gold)

    def take(self, where: Where) -> Answers:
        """Return these rows, in this order."""
        return Answers(*([column[index] for index in where.tolist()] for column in self.columns))

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


def rows_where(column: pa.ChunkedArray, value: str) -> Where:
    """Return which rows of a column hold this value."""
    return np.flatnonzero(pc.fill_null(pc.equal(column, value), fill_value=False).to_numpy())


def _targets(column: pa.ChunkedArray) -> list[Target]:
    """Return each row's target; rows with the same text share one, which nobody changes."""
    texts = column.combine_chunks().dictionary_encode()
    targets = _read(texts.dictionary.to_pylist())
    return [targets[index] for index in texts.indices.to_pylist()]


def _read(texts: list[str]) -> list[Target]:
    """Return what JSON texts say: read as one text, which takes half the time of reading each."""
    found: list[Target] = json.loads(f"[{','.join(texts)}]")
    return found if len(found) == len(texts) else [json.loads(text) for text in texts]
