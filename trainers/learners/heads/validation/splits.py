"""Older rows to fit on, and newer ones to judge by.

Documents are never divided: all rows of one stand where its newest row stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from trainers.learners.heads.solving import Floats, Ids

_BORDERS = (0.8, 0.9, 1.0)
"""Fit on all before a border, judge up to the next: shares of the rows by time."""
_MOST_ROWS = 10_000
"""More rows are thinned out evenly: choices need no more, and a refresh must take seconds."""


def thinned(days: Floats) -> Ids:
    """Return the numbers of the rows in order of time, every n-th of them where they are many; `days` is their time (n)."""
    order = np.argsort(days, kind="stable")
    return order[:: -(-len(order) // _MOST_ROWS)] if len(order) else order


def by_time(days: Floats, documents: Ids, independent: npt.NDArray[np.bool_]) -> Iterator[tuple[Ids, Ids]]:
    """Yield the numbers of older rows to fit on and of newer ones, chosen without looking at a model, to judge by.

    `days`, `documents` and `independent` (n each) are in order of time.
    """
    newest = np.zeros(documents.max(initial=-1) + 1)
    np.maximum.at(newest, documents, days)
    at = newest[documents]
    edges = [np.quantile(days, share) for share in _BORDERS] if len(days) else []
    for early, late in pairwise(edges):
        fit = np.flatnonzero(at <= early)
        judge = np.flatnonzero((at > early) & (at <= late) & independent)
        if len(judge):
            yield fit, judge
