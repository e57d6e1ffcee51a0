"""Rows that a teacher answered, as rows of the heads of signals: scores as a regression's, tags where the teacher is sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from config.kinds.signals.categories import label_of
from perennial_artifact.keywords import Keywords
from perennial_artifact.sentence.head import Features
from perennial_artifact.sentence.signal_head import with_hits
from trainers.learners.heads.families.family import Gold
from trainers.learners.heads.families.grouped import NOT_KNOWN
from trainers.learners.heads.rows import HeadRows
from trainers.learners.heads.soft import SURE, joined
from trainers.learners.protocols import Example
from trainers.learners.ridge.soft import taught_numbers
from trainers.learners.signals.rows import Shown, SignalRows
from trainers.learners.taught import Taught

LEAST_TOLD = 0.5
"""Of a teacher's probability what must fall on the tags that are learnt: else it means another one."""


def taught_signals(  # noqa: PLR0917 - all of them are what one run has
    rows: SignalRows, examples: Sequence[Example], shown: Shown, taught: Taught, unlabelled: Features | None,
    keywords: Keywords | None,
) -> SignalRows:  # fmt: skip
    """Return the `rows`, which are those of `examples`, with what the teacher says of each category.

    `unlabelled` are the features of its texts without gold, shape (texts, features); None: these are left out. Tags that gold
    tells stay as they are; of the others those count that the teacher is sure of, and weigh its share.
    """
    if unlabelled is not None:
        unlabelled = with_hits(unlabelled, [row.text for row in taught.unlabelled], keywords)
    scores = taught_numbers(rows.scores, examples, taught, unlabelled)
    texts = taught.unlabelled if unlabelled is not None else ()
    every = rows.tags if unlabelled is None else joined(rows.tags, texts, unlabelled)
    silver = np.where(every.labels == NOT_KNOWN, _sure([*examples, *texts], shown, taught), NOT_KNOWN)
    more = np.flatnonzero((silver != NOT_KNOWN).any(axis=1))
    beside = every.take(more)
    weights = np.where(more < len(examples), beside.weights * taught.share, beside.weights)
    beside = replace(beside, labels=silver[more], weights=weights, independent=np.zeros(len(more), dtype=bool))
    return SignalRows(scores, _below(rows.tags, beside))


def _sure(rows: Sequence[Example], shown: Shown, taught: Taught) -> Gold:
    """Return the id of the tag that the teacher is sure of, for each row and category that has tags; else `NOT_KNOWN`."""
    found, ids = [], shown.labels.ids
    for name, tags in shown.categories:
        if tags:
            names = [label_of(name, tag) for tag in tags]
            said = np.nan_to_num(taught.of(rows, names))
            own = np.array([ids[each] for each in names], dtype=np.intp)
            found.append(np.where(said.max(axis=1) >= SURE, own[said.argmax(axis=1)], NOT_KNOWN))
    return np.stack(found, axis=1) if found else np.zeros((len(rows), 0), dtype=np.intp)


def _below(first: HeadRows, second: HeadRows) -> HeadRows:
    """Return the rows of both, in order of time."""

    def of(part: str) -> Any:  # noqa: ANN401 - an array of the part's own type
        return np.concatenate([getattr(first, part), getattr(second, part)])

    both = replace(
        first, features=of("features"), labels=of("labels"), weights=of("weights"), days=of("days"), documents=of("documents"),
        independent=of("independent"),
    )  # fmt: skip
    return both.take(np.argsort(both.days, kind="stable"))
