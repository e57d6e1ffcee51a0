"""Rows that a teacher answered, as rows of a head: gold counts less, and what the teacher says counts beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, vstack

from perennial_artifact.labels import LabelSet
from perennial_artifact.sentence.head import Features, Matrix
from trainers.learners.heads.families.binomial import NOT_KNOWN
from trainers.learners.heads.rows import HeadRows, days_of
from trainers.learners.heads.solving import Floats, Ids
from trainers.learners.protocols import Example
from trainers.learners.taught import Taught

_LEAST_PROBABLE = 0.02
"""A label below is left out: it would be a row more for next to nothing."""
SURE = 0.7
"""Of several labels those count that a teacher gives, or denies, with this probability."""


def taught_rows(
    rows: HeadRows, examples: Sequence[Example], labels: LabelSet, taught: Taught, unlabelled: Features | None
) -> HeadRows:
    """Return the `rows`, which are those of `examples`, with what the teacher says, in order of time.

    `unlabelled` are the features of its texts without gold, shape (texts, features); None: these are left out. What the teacher
    says is never judged by: it is no gold.
    """
    texts = taught.unlabelled if unlabelled is not None else ()
    every = rows if unlabelled is None else joined(rows, texts, unlabelled)
    said = taught.of([*examples, *texts], labels.names)
    found = _one_label(every, said, len(rows), taught.share) if rows.labels.ndim == 1 else _several(every, said, len(rows))
    return found.take(np.argsort(found.days, kind="stable"))


def joined(rows: HeadRows, texts: Sequence[Example], features: Features) -> HeadRows:
    """Return the rows, and below them texts without gold, each a document of its own; `features` has shape (texts, features)."""
    count = len(texts)
    below: Matrix = _stacked(rows.features, features)
    nothing = np.full((count, *rows.labels.shape[1:]), 0 if rows.labels.ndim == 1 else NOT_KNOWN, dtype=rows.labels.dtype)
    first = int(rows.documents.max(initial=-1)) + 1
    return replace(
        rows, features=below, labels=np.concatenate([rows.labels, nothing]),
        weights=np.concatenate([rows.weights, [row.weight for row in texts]]),
        days=np.concatenate([rows.days, days_of(texts)]),
        documents=np.concatenate([rows.documents, np.arange(first, first + count, dtype=np.intp)]),
        independent=np.concatenate([rows.independent, np.zeros(count, dtype=bool)]),
    )  # fmt: skip


def _stacked(above: Matrix, below: Features) -> Matrix:
    return csr_array(vstack([above, csr_array(below)])) if isinstance(above, csr_array) else np.concatenate([above, below])


def _one_label(rows: HeadRows, said: Features, gold: int, share: float) -> HeadRows:
    """Return a row for the gold of each text, and one more for each label that the teacher holds probable."""
    known = np.nansum(said, axis=1)
    probable = np.nan_to_num(said / np.where(known > 0, known, 1.0)[:, None])
    # What a teacher says of a label that it does not know is nothing.
    own = np.isfinite(said[np.arange(gold), rows.labels[:gold]])
    taught = np.concatenate([own, np.ones(len(rows) - gold, dtype=bool)]) & (known > 0)
    text, label = np.nonzero((probable >= _LEAST_PROBABLE) & taught[:, None])
    places: Ids = np.concatenate([np.arange(gold), text])
    shares = np.where(np.arange(len(rows)) < gold, share, 1.0)
    weights: Floats = np.concatenate(
        [
            rows.weights[:gold] * np.where(taught[:gold], 1.0 - share, 1.0),
            rows.weights[text] * shares[text] * probable[text, label],
        ]
    )
    independent: npt.NDArray[np.bool_] = np.concatenate([rows.independent[:gold], np.zeros(len(text), dtype=bool)])
    taken = replace(
        rows.take(places), labels=np.concatenate([rows.labels[:gold], label]).astype(rows.labels.dtype), weights=weights,
        independent=independent,
    )  # fmt: skip
    return taken.take(np.flatnonzero(taken.weights > 0))


def _several(rows: HeadRows, said: Features, gold: int) -> HeadRows:
    """Return the rows with the labels of texts without gold that the teacher is sure of."""
    with np.errstate(invalid="ignore"):
        marks = np.where(said >= SURE, 1, np.where(said <= 1.0 - SURE, 0, NOT_KNOWN))
    labels = rows.labels.copy()
    labels[gold:] = marks[gold:]
    return replace(rows, labels=labels)
