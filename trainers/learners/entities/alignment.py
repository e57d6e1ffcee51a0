"""Spans laid on tokens: gold the same way before training and before scoring, and answers the same way as gold.

People mark a space too much, half a word, or a word with its full stop; a model answers with whole tokens. Compared as they come,
such an answer is wrong wherever the gold is careless, and the figure tells of the marking instead of the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial_artifact.pieces import without_outer_space

TokenSpan = tuple[int, int, str]
"""First token, token after the last, type."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Where the tokens of a text begin and end, in code points, in order; between them is nothing but white space."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, borders: Sequence[tuple[int, int]]) -> Tokens:
        """Return the tokens with these starts and ends."""
        columns = np.array(borders, dtype=np.int64).reshape(-1, 2)
        return cls(columns[:, 0], columns[:, 1])

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the first token and the one after the last that a span touches."""
        return int(np.searchsorted(self.ends, start, side="right")), int(np.searchsorted(self.starts, end, side="left"))


@dataclass(frozen=True, slots=True)
class Laid:
    """Spans on tokens; none shares a token with another."""

    entities: tuple[TokenSpan, ...]
    unknown: tuple[int, ...]
    """Tokens that only such spans touch as have no tokens of their own."""
    exact: int
    expanded: int
    """Began or ended inside a token and were widened to its borders."""
    skipped: int
    """Hold only white space, or a token that another span has already."""


def lay(text: str, spans: Sequence[Mapping[str, Any]], tokens: Tokens) -> Laid:
    """Return spans (`start`, `end`, `label`) of a text laid on its tokens: the earlier of two that share one has it."""
    entities: list[TokenSpan] = []
    unknown: list[int] = []
    exact = expanded = skipped = 0
    taken = np.zeros(len(tokens.starts), dtype=bool)
    for span in sorted(spans, key=lambda each: (each["start"], each["end"])):
        start, end = without_outer_space(text, span["start"], span["end"])
        first, after = tokens.span(start, end) if start < end else (0, 0)
        if first >= after or taken[first:after].any():
            skipped += 1
            unknown += [at for at in range(first, after) if not taken[at]]
        else:
            entities.append((first, after, str(span["label"])))
            whole = (int(tokens.starts[first]), int(tokens.ends[after - 1])) == (start, end)
            exact += whole
            expanded += not whole
        taken[first:after] = True
    return Laid(tuple(entities), tuple(unknown), exact, expanded, skipped)


def as_compared(text: str, target: Mapping[str, Any], tokens: Tokens) -> dict[str, Any]:
    """Return a target or an answer of a text with its spans at the borders of tokens.

    `unknown` lists the parts that a target speaks of and that cannot be told: what is found there counts for nothing, as in
    training.
    """
    laid = lay(text, target["spans"], tokens)
    spans = [
        {"start": int(tokens.starts[first]), "end": int(tokens.ends[after - 1]), "label": label}
        for first, after, label in laid.entities
    ]
    unknown = [[int(tokens.starts[at]), int(tokens.ends[at])] for at in laid.unknown]
    return {**target, "spans": spans} | ({"unknown": unknown} if unknown else {})
