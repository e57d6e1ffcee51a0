"""All scored rows as a metric reads them, once; then parts of them, by the numbers of their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from trainers.compare.answers import Answers, Where
from trainers.compare.metrics.f1 import MeanF1
from trainers.compare.metrics.folding import FoldedCounts
from trainers.compare.metrics.metric import KnowsLabels, LabelDetail, Metric, PairsLabels
from trainers.compare.resampling.paired import Paired


class Reading(Protocol):
    """Rows that were read."""

    def pair(self, where: Where) -> Paired:
        """Return some rows, ready for scoring and resampling. Raises `RunFailedError` where an answer cannot be scored."""
        ...

    def label_detail(self, where: Where) -> LabelDetail | None:
        """Return what labels show of some rows; None where the metric knows no labels."""
        ...

    def pair_labels(self, where: Where, labels: Sequence[str]) -> Mapping[str, Paired]:
        """Return some rows as the score on each label is made of them; nothing where the metric cannot resample labels."""
        ...


def reading_of(metric: Metric, answers: Answers) -> Reading:
    """Return the rows of `answers` as a metric reads them: counted once where it counts, else read again for each part."""
    return FoldedCounts.read(metric, *answers.columns) if isinstance(metric, MeanF1) else EachTime(metric, answers)


@dataclass(frozen=True, slots=True)
class EachTime:
    """Rows of a metric that is asked about each part anew."""

    metric: Metric
    answers: Answers

    def pair(self, where: Where) -> Paired:
        """Return some rows as the metric pairs them."""
        return self.metric.pair(*self.answers.take(where).columns)

    def label_detail(self, where: Where) -> LabelDetail | None:
        """Return what the metric tells of their labels."""
        metric = self.metric
        return metric.label_detail(*self.answers.take(where).columns) if isinstance(metric, KnowsLabels) else None

    def pair_labels(self, where: Where, labels: Sequence[str]) -> Mapping[str, Paired]:
        """Return what the metric resamples of each label."""
        metric = self.metric
        return metric.pair_labels(*self.answers.take(where).columns, labels) if isinstance(metric, PairsLabels) else {}
