"""What both learners of entities compare with: gold and answers on a model's words, and the majority answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from perennial_artifact.predictor import Answer
from trainers.learners.entities.alignment import Tokens, as_compared
from trainers.learners.protocols import Aligner


def aligned_on(borders_of: Callable[[str], Sequence[tuple[int, int]]]) -> Aligner:
    """Return what lays gold and answers on the words that `borders_of` tells, (start, end) of each, for both models alike."""

    def align(text: str, targets: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        words = Tokens.of(borders_of(text))
        return [as_compared(text, target, words) for target in targets]

    return align


class FindsNothing:
    """The majority answer of entity recognition: no entity anywhere."""

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return no span for every text."""
        return [{"spans": []} for _text in texts]
