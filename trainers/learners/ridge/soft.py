"""Rows that a teacher answered, as rows of a regression's head: numbers are a mean of gold and of the teacher's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from perennial_artifact.sentence.head import Features
from trainers.learners.heads.solving import Floats
from trainers.learners.protocols import Example
from trainers.learners.ridge.rows import NumberRows
from trainers.learners.taught import Taught

_SECONDS_A_DAY = 86_400.0


def mixed(gold: Floats, said: Floats, share: float) -> Floats:
    """Return `share` of the one and the rest of the other; where either is not a number the other."""
    mean = (1.0 - share) * gold + share * said
    found: Floats = np.where(np.isnan(gold), said, np.where(np.isnan(said), gold, mean))
    return found


def taught_numbers(rows: NumberRows, examples: Sequence[Example], taught: Taught, unlabelled: Features | None) -> NumberRows:
    """Return the `rows`, which are those of `examples`, with what the teacher says.

    `unlabelled` are the features of its texts without gold, shape (texts, features); None: these are left out.
    """
    names = [one.name for one in rows.dimensions]
    values = mixed(rows.values, taught.of(examples, names).astype(np.float64), taught.share)
    if unlabelled is None or not isinstance(rows.features, np.ndarray):
        return replace(rows, values=values)
    texts = taught.unlabelled
    said = taught.of(texts, names).astype(np.float64)
    first = int(rows.documents.max(initial=-1)) + 1
    days = np.array([row.event_time.timestamp() for row in texts], dtype=np.float64) / _SECONDS_A_DAY
    found = replace(
        rows, features=np.concatenate([rows.features, unlabelled]), values=np.concatenate([values, said]),
        weights=np.concatenate([rows.weights, [row.weight for row in texts]]), days=np.concatenate([rows.days, days]),
        documents=np.concatenate([rows.documents, np.arange(first, first + len(texts), dtype=np.intp)]),
        independent=np.concatenate([rows.independent, np.zeros(len(texts), dtype=bool)]),
    )  # fmt: skip
    return found.take(np.argsort(found.days, kind="stable"))
