"""Rows as a mean of F1 counts them, each pattern of right answer and both answers once: parts of them cost next to nothing."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Self

import numpy as np
from numpy.typing import NDArray

from trainers.compare.metrics.f1 import MeanF1, RowCounts, mean_f1
from trainers.compare.metrics.metric import LabelDetail, LabelScores, Target
from trainers.compare.resampling.folded import FoldedSums
from trainers.compare.resampling.sums import PairedSums, Sums

Where = NDArray[np.intp]
_Cells = NDArray[np.intp]
_GOLD = 0
_HITS = (1, 3)
"""Columns of the candidate and of the opponent; the next is what it claimed."""
_NOTHING = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class FoldedCounts:
    """What there is to count in each pattern, without its zeros: gold may have more labels than a table has room for."""

    at: Where
    """(rows,): the pattern of each row."""
    labels: Sequence[str]
    """Sorted: each that occurs in gold or in an answer."""
    pattern: _Cells
    """(cells,): the pattern that a cell belongs to."""
    label: _Cells
    """(cells,): its label, by number."""
    counts: _Cells
    """(cells, 5): gold, then hits and claims of the candidate, then of the opponent."""
    right: NDArray[np.bool_]
    """(2, patterns): whether the candidate, and the opponent, has a pattern wholly right."""
    one_class: NDArray[np.float64] | None
    """(2, patterns, 3): gold, hits and claims of the class that a metric gathers labels in; None: each label is one."""

    @classmethod
    def read(cls, metric: MeanF1, gold: Sequence[Target], candidate: Sequence[Target], opponent: Sequence[Target]) -> Self:
        """Count the rows as the metric does."""
        if metric.keys is None:
            at, examples = np.arange(len(gold)), list(range(len(gold)))
        else:
            columns = [metric.keys(column) for column in (gold, candidate, opponent)]
            at, examples = _patterns(columns)
            if set(map(type, chain.from_iterable(columns))) <= {str}:
                return cls._of_one_label(metric, at, [[str(column[example]) for example in examples] for column in columns])
        ours, theirs = (
            [metric.count(gold[example], side[example]) for example in examples] for side in (candidate, opponent)
        )  # fmt: skip
        labels = sorted({label for row in chain(ours, theirs) for label in row})
        cells = np.array(list(_cells(ours, theirs, labels)), dtype=np.intp).reshape(-1, 7)
        counts = cells[:, 2:]
        right = np.ones((2, len(examples)), dtype=np.bool_)
        for which, hits in enumerate(_HITS):
            wrong = (counts[:, hits] != counts[:, _GOLD]) | (counts[:, hits + 1] != counts[:, _GOLD])
            right[which, cells[wrong, 0]] = False
        one_class = None
        if (gathered := metric.gathered) is not None:
            as_one = [[next(iter(gathered(row).values())) for row in side] for side in (ours, theirs)]
            one_class = np.array(as_one, dtype=np.float64).reshape(2, len(examples), 3)
        return cls(at, labels, cells[:, 0], cells[:, 1], counts, right, one_class)

    @classmethod
    def _of_one_label(cls, metric: MeanF1, at: Where, patterns: Sequence[Sequence[str]]) -> Self:
        """Return patterns of the one label of gold, candidate and opponent: where there are many labels there are many."""
        labels = sorted(set(chain.from_iterable(patterns)))
        column = {label: index for index, label in enumerate(labels)}
        named = np.array([[column[label] for label in side] for side in patterns], dtype=np.intp).reshape(3, -1)
        every, right = np.arange(named.shape[1]), named[1:] == named[0]
        # A cell for each label that gold or a model names, the same label once.
        cells, which = np.unique((every * max(len(labels), 1) + named).ravel(), return_inverse=True)
        of_gold, of_ours, of_theirs = which.reshape(named.shape)
        counts = np.zeros((len(cells), 5), dtype=np.intp)
        counts[of_gold, _GOLD] = 1
        for side, of_side in enumerate((of_ours, of_theirs)):
            counts[of_side, _HITS[side]] = right[side]
            counts[of_side, _HITS[side] + 1] = 1
        pattern, label = np.divmod(cells, max(len(labels), 1))
        one_class = None
        if metric.gathered is not None:
            one_class = np.stack([np.ones(right.shape), right, np.ones(right.shape)], axis=-1)
        return cls(at, labels, pattern, label, counts, right, one_class)

    def pair(self, where: Where) -> FoldedSums:
        """Return the counts of these rows, per label or in one class, as `MeanF1.pair` of them."""
        used, at = np.unique(self.at[where], return_inverse=True)
        if self.one_class is not None:
            ours, theirs = self.one_class[:, used]
            return FoldedSums(PairedSums(ours[:, :1], ours[:, 1:], theirs[:, 1:], mean_f1, whole=True), at)
        seen = np.zeros(self.right.shape[1], dtype=np.bool_)
        seen[used] = True
        here = seen[self.pattern]
        label, counts = self.label[here], self.counts[here]
        there, ours, theirs = (
            np.bincount(label, counts[:, column], minlength=len(self.labels)) > 0
            for column in (_GOLD, *(hits + 1 for hits in _HITS))
        )
        claimed = ours | theirs
        score = partial(mean_f1, unclaimed=int(np.count_nonzero(there & ~claimed)))
        return FoldedSums(PairedSums(*self._sums(used, np.flatnonzero(claimed)), score, whole=True), at)

    def pair_labels(self, where: Where, labels: Sequence[str]) -> dict[str, FoldedSums]:
        """Return of each label the counts of these rows, as `MeanF1.pair_labels` of them."""
        used, at = np.unique(self.at[where], return_inverse=True)
        known = {label: column for column, label in enumerate(self.labels)}
        # The number after the last label has no cell.
        columns = {label: np.array([known.get(label, len(known))], dtype=np.intp) for label in labels}
        return {
            label: FoldedSums(PairedSums(*self._sums(used, column), mean_f1, whole=True), at) for label, column in columns.items()
        }

    def label_detail(self, where: Where) -> LabelDetail:
        """Return both models' F1 on each label of these rows, and the share that one has wholly right, as `MeanF1` does."""
        times = np.bincount(self.at[where], minlength=self.right.shape[1])
        rows = times[self.pattern]
        totals = [np.bincount(self.label, rows * column, minlength=len(self.labels)) for column in self.counts.T]
        support = np.bincount(self.label, rows * (self.counts[:, _GOLD] > 0), minlength=len(self.labels))
        claims = [totals[_GOLD] + totals[hits + 1] for hits in _HITS]
        ours, theirs = (
            np.divide(2.0 * totals[hits], claim, out=np.zeros(len(claim)), where=claim > 0)
            for hits, claim in zip(_HITS, claims, strict=True)
        )
        by_label = {
            self.labels[column]: LabelScores(int(support[column]), float(ours[column]), float(theirs[column]))
            for column in np.flatnonzero(claims[0] + claims[1]).tolist()
        }
        apart = int(times[self.right[0] != self.right[1]].sum())
        return LabelDetail(by_label, apart / len(where) if len(where) else 0.0)

    def _sums(self, patterns: Where, columns: Where) -> tuple[Sums, Sums, Sums]:
        """Return gold (patterns, columns), and of each model hits, then claims (patterns, 2 columns)."""
        row = np.full(self.right.shape[1], -1)
        row[patterns] = np.arange(len(patterns))
        place = np.full(len(self.labels) + 1, -1)
        place[columns] = np.arange(len(columns))
        at, of = row[self.pattern], place[self.label]
        here = (at >= 0) & (of >= 0)
        tables = np.zeros((5, len(patterns), len(columns)))
        tables[:, at[here], of[here]] = self.counts[here].T
        ours, theirs = (np.hstack([tables[hits], tables[hits + 1]]) for hits in _HITS)
        return tables[_GOLD], ours, theirs


def _patterns(columns: Sequence[Sequence[Hashable]]) -> tuple[Where, list[int]]:
    """Return the pattern of each row, and of each pattern one row that has it."""
    key = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        numbers, count = _numbered(column)
        key = key * count + numbers
    _distinct, examples, at = np.unique(key, return_index=True, return_inverse=True)
    return at, examples.tolist()


def _numbered(keys: Sequence[Hashable]) -> tuple[NDArray[np.int64], int]:
    """Return a number for each key, the same for equal ones, and how many there are."""
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.fromiter(map(numbers.__getitem__, keys), np.int64, len(keys)), len(numbers)


def _cells(ours: Sequence[RowCounts], theirs: Sequence[RowCounts], labels: Sequence[str]) -> Iterator[tuple[int, ...]]:
    """Yield pattern, label, gold, and of each model hits and claims."""
    column = {label: index for index, label in enumerate(labels)}
    for pattern, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        for label in one.keys() | other.keys():
            mine, its = one.get(label, _NOTHING), other.get(label, _NOTHING)
            # A label that one model alone claims is not in gold, or both would miss or find it.
            yield pattern, column[label], max(mine[0], its[0]), *mine[1:], *its[1:]
