"""What a head's labels are to each other: one of them is right, or each is right or wrong by itself.

All that depends on it is asked of one object, which the rows carry (`HeadRows.family`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from perennial_artifact.sentence.head import Features, Matrix
from trainers.learners.heads.solving import Floats, Ids, Weights
from trainers.learners.heads.weighting import Prior
from trainers.learners.protocols import Example

Gold = npt.NDArray[np.intp]
"""The labels of n rows: an id each, shape (n); or of all labels 1, 0 or `NOT_KNOWN`, shape (n, labels)."""


@dataclass(frozen=True, slots=True)
class Judged:
    """How heads fitted on older rows answer newer ones."""

    logits: Floats
    """Shape (rows judged, labels); minus infinity for a label that no older row carries."""
    gold: Gold
    """The labels of the rows, counted in columns of `logits`."""
    labels: Ids
    """The ids that the columns stand for."""


@dataclass(frozen=True, slots=True)
class Answering:
    """What a head needs beside its weights to answer."""

    temperature: float = 1.0
    """What its logits are divided by."""
    thresholds: Mapping[int, float] | None = None
    """By id of the label, the probability from which it is given; None: the most probable label is."""
    threshold: float = 0.5
    """That of labels which `thresholds` lacks."""


class Family(Protocol):
    """One way for labels to be together."""

    @property
    def strengths(self) -> Sequence[float]:
        """The strengths that are tried."""
        ...

    def encoded(self, rows: Sequence[Example], ids: Mapping[str, int]) -> Gold:
        """Return the labels of examples; a label without an id is left out, and a row of one label has one with an id."""
        ...

    def known(self, gold: Gold) -> Ids:
        """Return the ids of the labels that rows carry, ascending."""
        ...

    def members(self, gold: Gold) -> list[Ids]:
        """Return the numbers of the rows of each label, and of those without one where there may be such."""
        ...

    def in_columns(self, gold: Gold, labels: Ids) -> Gold:
        """Return the labels of rows, counted in the columns that stand for `labels`, which are all that rows carry."""
        ...

    def told_by(self, gold: Gold, older: Gold) -> npt.NDArray[np.bool_]:
        """Return of each row whether older rows carry all of its labels."""
        ...

    def can_fit(self, gold: Gold) -> bool:
        """Return whether there is anything to tell apart."""
        ...

    def balancing(self, gold: Gold, weights: Floats) -> Floats | None:
        """Return what to multiply weights by so that all labels weigh alike, for each row or cell; None where not asked for."""
        ...

    def solve(
        self, features: Matrix, gold: Gold, weights: Floats, *, strength: float, start: Weights | None = None,
        centre: Features | None = None,
    ) -> Weights:  # fmt: skip
        """Return the minimum of `strength` times the weighted loss plus half the squared length of the weights.

        `features` has shape (rows, features), `weights` a number above 0 per row; `start` is where to begin. Where `centre`,
        shape (label ids, features), is given, the length counts from there. Raises `RunFailedError` when there is nothing to
        tell apart, or there are numbers that are not finite.
        """
        ...

    def prior(
        self, solved: Weights, gold: Gold, weights: Floats, *, days: Floats, independent: Ids, window_days: float | None
    ) -> Prior | None:
        """Return the label prior of the last `window_days`; None where none is asked for, or it cannot be learnt."""
        ...

    def judge(self, head: Weights, features: Matrix, gold: Gold) -> tuple[Floats, npt.NDArray[Any]]:
        """Return the log probability of each row's labels, shape (rows), and what a head answers, as gold is written."""
        ...

    def scores(self, gold: Gold, said: npt.NDArray[Any]) -> dict[str, float]:
        """Return the usual scores of answers, for the run's report."""
        ...

    def answering(self, judged: Judged | None, gold: Gold) -> Answering:
        """Return how a head that is solved on rows of `gold` answers; learnt from newer rows where there are any."""
        ...


@runtime_checkable
class Worded(Family, Protocol):
    """One whose labels may start from what their words say."""

    def carried(self, gold: Gold, labels: int) -> npt.NDArray[np.bool_]:
        """Return which of the labels 0 to `labels` each row carries, shape (rows, labels)."""
        ...

    def probabilities(self, logits: Floats) -> Floats:
        """Return the probability of each label, shape (rows, labels)."""
        ...

    def usual_share(self, gold: Gold) -> float:
        """Return the share of the rows that an average label has."""
        ...
