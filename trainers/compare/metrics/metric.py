"""The protocol that every metric fulfils, and the one of metrics that know labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from trainers.compare.metrics.scale import Scale
from trainers.compare.resampling.paired import Paired

Target = Mapping[str, Any]
"""What is right, or what a model answers, in wire form."""


@dataclass(frozen=True, slots=True)
class LabelScores:
    """How both models do on one label."""

    rows: int
    """Rows that have the label in gold."""
    candidate: float
    opponent: float


@dataclass(frozen=True, slots=True)
class LabelDetail:
    """What labels show beyond the score."""

    by_label: Mapping[str, LabelScores]
    """Each label that occurs in gold or in an answer."""
    discordant: float
    """Share of rows that exactly one model has wholly right (0 without rows)."""


class Metric(Protocol):
    """A way to score answers against gold. Stateless: one object serves all tasks and threads."""

    @property
    def name(self) -> str:
        """What task files write under `promotion.metric`."""
        ...

    @property
    def scale(self) -> Scale:
        """Title, direction, bounds and unit."""
        ...

    def pair(self, gold: Sequence[Target], candidate: Sequence[Target], opponent: Sequence[Target]) -> Paired:
        """Return the same rows' gold and answers of both models, ready for scoring and resampling.

        `PairedSums` where sums over rows suffice, else `PairedRows`. What depends on gold and both models (the labels that count,
        the scale of ranks) is so the same for both and in every resample. Raises `RunFailedError` where an answer cannot be
        scored.
        """
        ...


@runtime_checkable
class KnowsLabels(Protocol):
    """A metric whose answers are right or wrong and carry labels: they become slices, which a task may guard."""

    def label_detail(self, gold: Sequence[Target], candidate: Sequence[Target], opponent: Sequence[Target]) -> LabelDetail:
        """Return how both models do on each label, and how often just one of them is right."""
        ...


@runtime_checkable
class PairsLabels(Protocol):
    """A metric whose score on one label can be resampled, so that a guard of a label has a bound."""

    def pair_labels(
        self, gold: Sequence[Target], candidate: Sequence[Target], opponent: Sequence[Target], labels: Sequence[str]
    ) -> Mapping[str, Paired]:
        """Return of each label the same rows, whose score is that of `label_detail`."""
        ...


@runtime_checkable
class TakesWeights(Protocol):
    """A metric that is a mean over dimensions."""

    def weighted(self, weights: Mapping[str, float]) -> Metric:
        """Return the same metric, with what each dimension weighs in it."""
        ...
