"""Per-example answers become tallies: what there was to find, what was found and what was claimed, per row and class."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from trainers.compare.metrics import entity_counts
from trainers.compare.statistics import Counts, PairedTallies


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """Rows that both models answered, with their tallies per label; every tally array is (rows, claimed labels).

    However many labels gold has, a model knows a bounded number: the arrays grow with what it can claim.
    """

    claimed: tuple[str, ...]
    """Labels that occur in either model's answers, sorted: the columns of the tallies."""
    unclaimed: Mapping[str, int]
    """The other labels in gold, with the rows that have them."""
    tallies: PairedTallies
    """Per label."""
    overall: PairedTallies
    """The same with all labels in one class."""
    discordant: Counts
    """(rows,): 1 where exactly one model had the whole row right."""

    def of_metric(self, metric: str) -> PairedTallies:
        """Return the tallies whose mean F1 is the metric."""
        return self.tallies if metric == "macro_f1" else self.overall

    @property
    def labels(self) -> Sequence[str]:
        """The labels that occur in gold or in either model's answers, sorted."""
        return sorted((*self.claimed, *self.unclaimed))

    def rows_of_labels(self) -> dict[str, int]:
        """Return how many rows have each label in gold."""
        return dict(zip(self.claimed, np.count_nonzero(self.tallies.gold, axis=0).tolist(), strict=True)) | dict(self.unclaimed)

    def scores_of(self, label: str) -> tuple[float, float]:
        """Return the candidate's and the opponent's score on one label."""
        if label in self.unclaimed:
            return 0.0, 0.0
        column = self.claimed.index(label)
        return PairedTallies(*(array[:, [column]] for array in self.tallies.arrays())).scores()


def score_rows(kind: str, scores: pa.Table) -> ScoredRows:
    """Return the tallies of a scores table (columns `gold`, `candidate`, `opponent`: targets and answers as JSON)."""
    golds, candidates, opponents = (
        [json.loads(text) for text in scores[name].to_pylist()] for name in ("gold", "candidate", "opponent")
    )
    count = _count_entities if kind == "ner" else _count_label
    rows_of_candidate = [count(gold, answer) for gold, answer in zip(golds, candidates, strict=True)]
    rows_of_opponent = [count(gold, answer) for gold, answer in zip(golds, opponents, strict=True)]
    both = (rows_of_candidate, rows_of_opponent)
    labels = tuple(sorted({label for rows in both for row in rows for label, (_, _, predicted) in row.items() if predicted}))
    # What a model misses stands in the counts of both.
    unclaimed = Counter(label for row in rows_of_candidate for label in row)
    for label in labels:
        del unclaimed[label]
    candidate, opponent = _tally(rows_of_candidate, labels), _tally(rows_of_opponent, labels)
    every = [_tally([_in_one_class(row) for row in rows], ("",)) for rows in (rows_of_candidate, rows_of_opponent)]
    right = [((gold == hits) & (gold == predicted))[:, 0] for gold, hits, predicted in every]
    return ScoredRows(
        claimed=labels,
        unclaimed=unclaimed,
        tallies=PairedTallies(*candidate, *opponent[1:], unclaimed=len(unclaimed)),
        overall=PairedTallies(*every[0], *every[1][1:]),
        discordant=(right[0] != right[1]).astype(np.float64),
    )


# Of one row, per label: gold, hits, predicted.
_RowCounts = Mapping[str, tuple[int, int, int]]


def _count_entities(gold: Mapping[str, Any], answer: Mapping[str, Any]) -> _RowCounts:
    return {
        label: (counts.support, counts.true_positive, counts.true_positive + counts.false_positive)
        for label, counts in entity_counts(gold, answer).items()
    }


def _count_label(gold: Mapping[str, Any], answer: Mapping[str, Any]) -> _RowCounts:
    if gold["label"] == answer["label"]:
        return {gold["label"]: (1, 1, 1)}
    return {gold["label"]: (1, 0, 0), answer["label"]: (0, 0, 1)}


def _in_one_class(row: _RowCounts) -> _RowCounts:
    gold, hits, predicted = (sum(column) for column in zip(*row.values(), strict=True)) if row else (0, 0, 0)
    return {"": (gold, hits, predicted)}


def _tally(rows: Sequence[_RowCounts], labels: Sequence[str]) -> tuple[Counts, Counts, Counts]:
    column = {label: index for index, label in enumerate(labels)}
    tallies = np.zeros((3, len(rows), len(labels)))
    for index, row in enumerate(rows):
        for label in row.keys() & column.keys():
            tallies[:, index, column[label]] = row[label]
    return tallies[0], tallies[1], tallies[2]
