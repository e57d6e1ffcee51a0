"""Rows whose labels heads fitted on other rows contradict strongly: most carry a wrong label, and may weigh less.

Each row is judged by a head that has not seen its document and knows rows of all times, newer ones too: one that knows older rows
alone would contradict what is new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import softmax

from perennial_artifact.labels import LabelSet
from trainers.learners.contradicted import Contradicted
from trainers.learners.features import FeatureSet
from trainers.learners.heads.rows import HeadRows, head_rows
from trainers.learners.heads.solving import Floats, Ids
from trainers.learners.heads.validation.forward import Choice, solved
from trainers.learners.protocols import Example, TrainingPlan

_PARTS = 5
_LEAST_PROBABLE = 0.05
"""Below it the row's own label must lie ..."""
_SURE = 0.5
"""... and above this another one."""
_LEAST_KNOWN = 20
"""Rows of a label that the judging head must know: a label that is new is not judged."""
_MOST_FITTED = 10_000
"""More rows are thinned out evenly: to judge needs no more, and a refresh must take seconds."""
_TOLD = 5


def lightened(
    plan: TrainingPlan, rows: Sequence[Example], features: FeatureSet | None, labels: LabelSet, choice: Choice
) -> list[Example]:
    """Return the rows, those that are contradicted with `training.contradicted_weight` times their weight; tell the plan of them.

    `labels` are those of the rows. Judged are rows with features that were chosen without looking at a model: a correction is
    made where a model is wrong, and what the defence let pass is not doubted again.
    """
    weight = plan.spec.training.contradicted_weight
    places = [place for place, row in enumerate(rows) if features is not None and row.example_id in features]
    if weight >= 1.0 or features is None or not places:
        return list(rows)
    known = [rows[place] for place in places]
    seen = head_rows(known, features.rows([row.example_id for row in known]), labels)
    judged = own_probability(seen, choice)
    found = contradicted(judged)
    plan.note_contradicted(
        Contradicted(
            rows=len(found), judged=int(np.isfinite(judged[0]).sum()), weight=weight,
            strongest=tuple(known[place].example_id for place in found[:_TOLD]),
        )
    )  # fmt: skip
    light = {places[place] for place in found}
    return [replace(row, weight=row.weight * weight) if place in light else row for place, row in enumerate(rows)]


def contradicted(judged: tuple[Floats, Floats]) -> list[int]:
    """Return the numbers of the rows that are contradicted strongly, the strongest first; `judged` is of `own_probability`."""
    own, highest = judged
    with np.errstate(invalid="ignore"):
        found = np.flatnonzero((own < _LEAST_PROBABLE) & (highest > _SURE))
    return [int(place) for place in found[np.argsort(own[found], kind="stable")]]


def own_probability(rows: HeadRows, choice: Choice) -> tuple[Floats, Floats]:
    """Return how probable each row's own label is to a head that has not seen its document, and its highest probability.

    Shape (rows) each; not a number for rows that are not judged.
    """
    own, highest = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    part_of = np.random.default_rng(0).permutation(int(rows.documents.max(initial=-1)) + 1) % _PARTS
    parts = part_of[rows.documents] if len(rows) else rows.documents
    for part in range(_PARTS):
        others, mine = np.flatnonzero(parts != part), np.flatnonzero((parts == part) & rows.independent)
        counts = np.bincount(rows.labels[others], minlength=int(rows.labels.max(initial=-1)) + 1)
        mine = mine[counts[rows.labels[mine]] >= _LEAST_KNOWN]
        if not len(mine) or np.count_nonzero(counts) < 2:  # noqa: PLR2004 - one label is nothing to tell apart
            continue
        own[mine], highest[mine] = _judged(rows, others, mine, choice)
    return own, highest


def _judged(rows: HeadRows, others: Ids, mine: Ids, choice: Choice) -> tuple[Floats, Floats]:
    head, _prior = solved(rows.take(others[:: -(-len(others) // _MOST_FITTED)]), choice)
    probabilities = softmax(head.scores(rows.features[mine]), axis=1)
    known = np.isin(rows.labels[mine], head.labels)
    own = np.full(len(mine), np.nan)
    own[known] = probabilities[known, np.searchsorted(head.labels, rows.labels[mine][known])]
    return own, probabilities.max(axis=1)
