"""Macro and micro F1, entity F1, accuracy and subset accuracy: means of F1 over classes, made of counts per row.

Per row and class stand how much there was to find (gold), how much was found (hits) and how much was claimed (predicted). Every
score is a mean of F1 = 2 hits / (gold + predicted) over the classes: one class per label for macro F1 (scikit-learn's, with
`labels` given and `zero_division=0`), one class for all labels of all rows for micro F1 and for entity F1 (its spans; seqeval's
micro F1), and one whole answer a row for accuracy and subset accuracy (each row claims exactly one, so F1 is the share of rows
answered wholly right). The classes are the same for both models and in every resample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from operator import contains, itemgetter

import numpy as np

from trainers.compare.metrics.entities import entity_counts
from trainers.compare.metrics.metric import LabelDetail, LabelScores, Target
from trainers.compare.metrics.scale import Scale
from trainers.compare.resampling.paired import Scores
from trainers.compare.resampling.sums import PairedSums, Sums

RowCounts = Mapping[str, tuple[int, int, int]]
"""Of one row, per label: gold, hits, predicted."""

_ONE_CLASS = ""


@dataclass(frozen=True, slots=True)
class MeanF1:
    """The mean of F1 over the labels, or F1 of one class that they are gathered in."""

    name: str
    scale: Scale
    count: Callable[[Target, Target], RowCounts]
    """Counts one row, from gold and an answer."""
    gathered: Callable[[RowCounts], RowCounts] | None = None
    """Makes one class of a row's labels; None: every label is a separate class."""
    keys: Callable[[Sequence[Target]], Sequence[Hashable]] | None = None
    """Of targets or answers all that counting reads of them: equal keys, equal counts. None: rows are hardly ever alike.

    A key that is a text is the one label there is, counted once.
    """

    def pair(self, gold: Sequence[Target], candidate: Sequence[Target], opponent: Sequence[Target]) -> PairedSums:
        """Return the counts of the rows, per label or in one class."""
        ours, theirs = self._counted(gold, candidate), self._counted(gold, opponent)
        labels, unclaimed = _labels(ours, theirs)
        if self.gathered is not None:
            ours, theirs = ([self.gathered(row) for row in rows] for rows in (ours, theirs))
            labels, unclaimed = (_ONE_CLASS,), Counter()
        there, own = _tally(ours, labels)
        return PairedSums(there, own, _tally(theirs, labels)[1], partial(mean_f1, unclaimed=len(unclaimed)), whole=True)

    def label_detail(self, gold: Sequence[Target], candidate: Sequence[Target], opponent: Sequence[Target]) -> LabelDetail:
        """Return both models' F1 on each label, and the share of rows that exactly one has wholly right."""
        ours, theirs = self._counted(gold, candidate), self._counted(gold, opponent)
        of_ours, of_theirs = _totals(ours), _totals(theirs)
        rows = Counter(label for row in ours for label, (there, _, _) in row.items() if there)
        by_label = {
            label: LabelScores(rows[label], _f1_of(of_ours.get(label)), _f1_of(of_theirs.get(label)))
            for label in sorted(of_ours.keys() | of_theirs.keys())
        }
        apart = sum(_wholly_right(one) != _wholly_right(other) for one, other in zip(ours, theirs, strict=True))
        return LabelDetail(by_label, apart / len(ours) if ours else 0.0)

    def pair_labels(
        self, gold: Sequence[Target], candidate: Sequence[Target], opponent: Sequence[Target], labels: Sequence[str]
    ) -> dict[str, PairedSums]:
        """Return of each label the counts of the rows, whose score is F1 on it."""
        there, ours = _tally(self._counted(gold, candidate), labels)
        theirs = _tally(self._counted(gold, opponent), labels)[1]
        columns = {label: [index, len(labels) + index] for index, label in enumerate(labels)}
        return {
            label: PairedSums(there[:, own[:1]], ours[:, own], theirs[:, own], mean_f1, whole=True)
            for label, own in columns.items()
        }

    def _counted(self, gold: Sequence[Target], answers: Sequence[Target]) -> list[RowCounts]:
        return [self.count(target, answer) for target, answer in zip(gold, answers, strict=True)]


def paired_counts(
    gold: Sums,
    candidate_hits: Sums,
    candidate_predicted: Sums,
    opponent_hits: Sums,
    opponent_predicted: Sums,
    *,
    unclaimed: int = 0,
) -> PairedSums:
    """Return counts, each (units, classes), as sums whose score is the mean F1 over the classes.

    `unclaimed` further classes, which neither model claimed anywhere, have F1 0 in every resample and so need no column.
    """
    return PairedSums(
        shared=gold,
        candidate=np.hstack([candidate_hits, candidate_predicted]),
        opponent=np.hstack([opponent_hits, opponent_predicted]),
        score=partial(mean_f1, unclaimed=unclaimed),
        whole=True,
    )


def mean_f1(gold: Sums, own: Sums, *, unclaimed: int = 0) -> Scores:
    """Return the mean over the classes of 2 hits / (gold + predicted); a class with neither is 0, and so is no class at all.

    `gold` is (..., classes), `own` is (..., 2 classes): hits, then predicted. `unclaimed` further classes are 0 as well.
    """
    hits, predicted = np.split(own, 2, axis=-1)
    claims = np.asarray(gold + predicted, dtype=np.float64)
    f1 = np.divide(2.0 * hits, claims, out=np.zeros_like(claims), where=claims > 0)
    return np.asarray(f1.sum(axis=-1) / max(f1.shape[-1] + unclaimed, 1))


def _labels(ours: Sequence[RowCounts], theirs: Sequence[RowCounts]) -> tuple[tuple[str, ...], Counter[str]]:
    """Return the labels that either model claims, sorted, and the other labels in gold with the rows that have them.

    However many labels gold has, a model knows a bounded number: arrays with a column for each claimed one stay small.
    """
    claimed = {label for rows in (ours, theirs) for row in rows for label, (_, _, predicted) in row.items() if predicted}
    # What a model misses stands in the counts of both.
    unclaimed = Counter(label for row in ours for label in row)
    for label in claimed:
        del unclaimed[label]
    return tuple(sorted(claimed)), unclaimed


def _tally(rows: Sequence[RowCounts], labels: Sequence[str]) -> tuple[Sums, Sums]:
    """Return gold (rows, labels), and hits, then predicted (rows, 2 labels)."""
    column = {label: index for index, label in enumerate(labels)}
    gold, own = np.zeros((len(rows), len(labels))), np.zeros((len(rows), 2 * len(labels)))
    cells = [
        (index, column[label], *counts) for index, row in enumerate(rows) for label, counts in row.items() if label in column
    ]
    if cells:
        at, of, there, hits, predicted = np.array(cells, dtype=np.intp).T
        gold[at, of], own[at, of], own[at, len(labels) + of] = there, hits, predicted
    return gold, own


def _in_one_class(row: RowCounts) -> RowCounts:
    gold, hits, predicted = (sum(column) for column in zip(*row.values(), strict=True)) if row else (0, 0, 0)
    return {_ONE_CLASS: (gold, hits, predicted)}


def _as_one_answer(row: RowCounts) -> RowCounts:
    return {_ONE_CLASS: (1, int(_wholly_right(row)), 1)}


def _totals(rows: Sequence[RowCounts]) -> dict[str, tuple[int, int, int]]:
    totals: dict[str, tuple[int, int, int]] = {}
    for row in rows:
        for label, (gold, hits, predicted) in row.items():
            before = totals.get(label, (0, 0, 0))
            totals[label] = (before[0] + gold, before[1] + hits, before[2] + predicted)
    return totals


def _f1_of(counts: tuple[int, int, int] | None) -> float:
    gold, hits, predicted = counts or (0, 0, 0)
    return 2.0 * hits / (gold + predicted) if gold + predicted else 0.0


def _wholly_right(row: RowCounts) -> bool:
    return all(gold == hits == predicted for gold, hits, predicted in row.values())


def _count_entities(gold: Target, answer: Target) -> RowCounts:
    return {
        label: (counts.support, counts.true_positive, counts.true_positive + counts.false_positive)
        for label, counts in entity_counts(gold, answer).items()
    }


def _count_labels(gold: Target, answer: Target) -> RowCounts:
    there, said = _labels_of(gold), _labels_of(answer)
    if (scope := gold.get("scope")) is not None:
        # Of other labels whoever gave the row could say nothing.
        said &= there | frozenset(scope)
    return {label: (int(label in there), int(label in there and label in said), int(label in said)) for label in there | said}


def _label_keys(targets: Sequence[Target]) -> Sequence[Hashable]:
    """Return of each target its label or labels, with the labels that whoever gave it knew where that is told."""
    if not any(any(map(contains, targets, repeat(key))) for key in ("labels", "scope")):
        return list(map(itemgetter("label"), targets))
    return [
        (_labels_of(target), None if (scope := target.get("scope")) is None else frozenset(scope)) for target in targets
    ]  # fmt: skip


def _labels_of(target: Target) -> frozenset[str]:
    """Return the labels of `{"labels": [...]}`, or the one of `{"label": ...}`."""
    return frozenset(target["labels"]) if "labels" in target else frozenset((target["label"],))


ACCURACY = MeanF1("accuracy", Scale(title="accuracy"), _count_labels, _as_one_answer, _label_keys)
MACRO_F1 = MeanF1("macro_f1", Scale(title="macro F1"), _count_labels, keys=_label_keys)
MICRO_F1 = MeanF1("micro_f1", Scale(title="micro F1"), _count_labels, _in_one_class, _label_keys)
SUBSET_ACCURACY = MeanF1("subset_accuracy", Scale(title="subset accuracy"), _count_labels, _as_one_answer, _label_keys)
ENTITY_F1 = MeanF1("entity_f1", Scale(title="entity F1"), _count_entities, _in_one_class)
