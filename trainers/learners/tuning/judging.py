"""Rows that judge each epoch instead of teaching: which they are, and what a model is asked of them.

They are training rows; held-out rows take no part. Only rows that were chosen without looking at a model judge, by gold alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainers.learners.protocols import Example
from trainers.learners.tuning.recipe import Learnable

Outputs = npt.NDArray[np.float32]
"""What a model gives, shape (rows, outputs)."""

_SHARE = 10
"""One row in so many is kept back."""
_LEAST, _MOST = 50, 1_000
"""Fewer would judge by chance; more would only cost time."""


@dataclass(frozen=True, slots=True)
class KeptBack:
    """Rows of a tuning, by their numbers."""

    out: frozenset[int]
    """Those that it does not learn from."""
    judging: tuple[int, ...]
    """Those of them that judge; none where they would be too few."""


@dataclass(frozen=True, slots=True)
class Judging:
    """What a model that is tuned is asked after each epoch."""

    rows: Sequence[Learnable]
    """Those that judge, as the model reads them: of a long text there may be several."""
    count: int
    """How many texts they are."""
    metric: str
    lower_is_better: bool
    score: Callable[[Outputs], float] | None
    """The metric of what the model gives for `rows`, in their order; None: the loss alone judges."""
    of_outputs: bool = True
    """Whether `score` reads the outputs; else it asks the model itself and is given none of them."""


def keep_back(rows: Sequence[Example], seed: int) -> KeptBack:
    """Keep back a tenth of the rows, 1,000 at most: whole documents and stories, with everything that hangs together by them.

    Of these rows those judge that were chosen without looking at a model. None are kept back where fewer than 50 would judge.
    """
    most = min(_MOST, len(rows) // _SHARE)
    groups = [group for group in _together(rows) if any(rows[at].independent for at in group)]
    random.Random(seed).shuffle(groups)  # noqa: S311 - a sample
    out: set[int] = set()
    for group in groups:
        if len(out) + len(group) <= most:
            out.update(group)
    judging = tuple(at for at in sorted(out) if rows[at].independent)
    return KeptBack(frozenset(out), judging) if len(judging) >= _LEAST else KeptBack(frozenset(), ())


def _together(rows: Sequence[Example]) -> list[list[int]]:
    """Return the numbers of the rows in groups that share no document and no story, in order of their first rows."""
    groups = list(range(len(rows)))

    def group_of(at: int) -> int:
        while groups[at] != at:
            groups[at] = groups[groups[at]]
            at = groups[at]
        return at

    first: dict[tuple[str, str], int] = {}
    for at, row in enumerate(rows):
        for key in _keys(row):
            one, other = sorted((group_of(first.setdefault(key, at)), group_of(at)))
            groups[other] = one
    members: dict[int, list[int]] = {}
    for at in range(len(rows)):
        members.setdefault(group_of(at), []).append(at)
    return list(members.values())


def _keys(row: Example) -> Iterator[tuple[str, str]]:
    if row.document is not None:
        yield "document", row.document
    if row.story is not None:
        yield "story", row.story
