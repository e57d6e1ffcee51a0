"""How a model that is still being made does on rows that it does not learn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from perennial_artifact.predictor import Predictor
from trainers.learners.entities.alignment import Tokens, as_compared
from trainers.learners.protocols import Example

Score = Callable[[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]], float]
"""A metric of gold and answers, 0..1, higher is better."""
Borders = Callable[[str], Sequence[tuple[int, int]]]
"""Returns (start, end) of the tokens of a text, in code points."""


class Judge:
    """Keeps the gold of some rows as it is compared, on the tokens of one model."""

    def __init__(self, borders_of: Borders, rows: Sequence[Example], score: Score) -> None:
        """Lay the gold of `rows` on the tokens of their texts."""
        self._score = score
        self._tokens = {row.example_id: Tokens.of(borders_of(row.text)) for row in rows}
        self._gold = {row.example_id: as_compared(row.text, _gold(row), self._tokens[row.example_id]) for row in rows}

    def score(self, model: Predictor, rows: Sequence[Example]) -> float:
        """Return the score of `model` on some of the rows (at least one), within the scope of each."""
        answers = model.predict([row.text for row in rows])
        compared = [
            as_compared(row.text, answer, self._tokens[row.example_id]) for row, answer in zip(rows, answers, strict=True)
        ]
        return self._score([self._gold[row.example_id] for row in rows], compared)


def _gold(row: Example) -> Mapping[str, Any]:
    return row.target if row.scope is None else {**row.target, "scope": sorted(row.scope)}
