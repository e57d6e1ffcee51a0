"""How a pipeline that is still being made does on rows that it does not learn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spacy.language import Language

from perennial_artifact.spacy.entities import Entities, borders_of
from trainers.learners.protocols import Example
from trainers.learners.spacy.alignment import Tokens, as_compared

Score = Callable[[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]], float]
"""A metric of gold and answers, 0..1, higher is better."""


class Judge:
    """Keeps the gold of some rows as it is compared, on the tokens of one pipeline."""

    def __init__(self, nlp: Language, rows: Sequence[Example], score: Score) -> None:
        """Lay the gold of `rows` on the tokens of `nlp`."""
        self._score = score
        self._tokens = {row.example_id: Tokens.of(borders_of(nlp, row.text)) for row in rows}
        self._gold = {row.example_id: as_compared(row.text, _gold(row), self._tokens[row.example_id]) for row in rows}

    def score(self, nlp: Language, rows: Sequence[Example]) -> float:
        """Return the score of `nlp` on some of the rows (at least one), within the scope of each."""
        answers = Entities(nlp, None).predict([row.text for row in rows])
        compared = [
            as_compared(row.text, answer, self._tokens[row.example_id]) for row, answer in zip(rows, answers, strict=True)
        ]
        return self._score([self._gold[row.example_id] for row in rows], compared)


def _gold(row: Example) -> Mapping[str, Any]:
    return row.target if row.scope is None else {**row.target, "scope": sorted(row.scope)}
