"""How far the words of labels are trusted: chosen on labels that are made rare, as a new one is, in rows that are there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score

from trainers.learners.heads.families.family import Worded
from trainers.learners.heads.rows import HeadRows
from trainers.learners.heads.solving import Floats, Ids
from trainers.learners.heads.validation import forward
from trainers.learners.heads.validation.forward import Choice
from trainers.learners.tried import Tried

USUAL = 1.0
"""What is taken where nothing can be chosen."""
_TRUSTS = (0.5, 1.0, 2.0)
_ROWS_PER_LABEL = 64
_KEPT = 3
"""Rows that a label keeps which is made rare."""
_LEAST_ROWS = 10
"""Rows that a label must have to be made rare and asked about."""
_LEAST_LABELS = 4
"""Labels made rare below which nothing is chosen."""


def choose(rows: HeadRows, choice: Choice, before: float | None, note: Callable[[Tried], None]) -> float:
    """Return how far words are trusted when heads are solved as `choice` says; `before` is what was chosen last, if anything.

    Half of the labels keep 3 of their rows, then the other half: chosen is the trust with which the rest of their rows is ranked
    best (mean average precision) among those that beat none by more than a standard error over the labels, and do not answer
    newer rows clearly worse where all labels keep their rows. `rows` should be of features that have not seen them.
    """
    if rows.starts is None or not isinstance(rows.family, Worded):
        return 0.0
    sample = rows.take(_sample(rows))
    folds = list(_folds(sample))
    if sum(len(rare) for rare, _fit, _judge in folds) < _LEAST_LABELS:
        found = USUAL if before is None else before
        name = f"words trusted {found:g} (too few labels with {_LEAST_ROWS} rows to choose by)"
        note(Tried(name=name, scores={}, cpu_s=0.0, chosen=True))
        return found
    tried: dict[float, tuple[Floats, float]] = {}
    for trust in (0.0, *_TRUSTS):
        began = time.process_time()
        tried[trust] = (_precision(sample, folds, replace(choice, words=trust)), time.process_time() - began)
    without = replace(choice, words=0.0)
    better = [trust for trust in _TRUSTS if _clearly_above(tried[trust][0], tried[0.0][0])]
    best = next(
        (
            trust
            for trust in sorted(better, key=lambda trust: -tried[trust][0].mean())
            if not forward.is_worse(rows, replace(choice, words=trust), than=without)
        ),
        0.0,
    )
    for trust, (precision, cpu_s) in tried.items():
        name = f"labels with {_KEPT} rows, words trusted {trust:g}"
        note(Tried(name=name, scores={"average_precision": float(precision.mean())}, cpu_s=cpu_s, chosen=trust == best))
    return best


def _clearly_above(one: Floats, other: Floats) -> bool:
    gains = one - other
    return bool(gains.mean() > gains.std() / np.sqrt(len(gains)))


def _sample(rows: HeadRows) -> Ids:
    """Return the numbers of up to 64 rows of each label, spread evenly over all it has."""
    parts = [members[:: -(-len(members) // _ROWS_PER_LABEL)] for members in rows.family.members(rows.labels) if len(members)]
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, dtype=np.intp)


def _folds(rows: HeadRows) -> Iterator[tuple[list[int], Ids, Ids]]:
    """Yield the labels that are made rare, the rows to fit on and those to judge by; no document is in both."""
    carried = _carried(rows)
    assert rows.starts is not None  # noqa: S101 - `choose` has seen to it
    with_words = np.flatnonzero(rows.starts.any(axis=1))
    enough = [int(label) for label in with_words if carried[:, label].sum() >= _LEAST_ROWS]
    chance = np.random.default_rng(0).permutation(rows.documents.max(initial=-1) + 1)[rows.documents] % 4
    for half in (0, 1):
        rare = enough[half::2]
        if not rare:
            continue
        judge = carried[:, rare].any(axis=1) | (chance == 0)
        for label in rare:
            judge[np.flatnonzero(carried[:, label])[:_KEPT]] = False
        judge &= ~np.isin(rows.documents, rows.documents[~judge])
        fit = np.flatnonzero(~judge)
        if rows.family.can_fit(rows.labels[fit]):
            yield (
                [label for label in rare if carried[judge, label].any() and carried[fit, label].any()],
                fit,
                np.flatnonzero(judge),
            )


def _carried(rows: HeadRows) -> npt.NDArray[np.bool_]:
    """Return which labels with an id each row carries."""
    assert rows.starts is not None  # noqa: S101 - `choose` has seen to it
    assert isinstance(rows.family, Worded)  # noqa: S101 - as above
    return rows.family.carried(rows.labels, len(rows.starts))


def _precision(rows: HeadRows, folds: list[tuple[list[int], Ids, Ids]], choice: Choice) -> Floats:
    """Return the average precision of each label that was made rare."""
    found, carried = [], _carried(rows)
    for rare, fit, judge in folds:
        weights, _prior = forward.solved(rows.take(fit), replace(choice, prior_days=None))
        assert isinstance(rows.family, Worded)  # noqa: S101 - `choose` has seen to it
        scores = rows.family.probabilities(weights.scores(rows.features[judge]))
        for label in rare:
            column = int(np.searchsorted(weights.labels, label))
            found.append(average_precision_score(carried[judge, label], scores[:, column]))
    return np.array(found)
