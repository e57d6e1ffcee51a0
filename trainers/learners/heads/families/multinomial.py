"""One label a text: multinomial logistic regression, whose most probable label is the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax, softmax
from sklearn.metrics import accuracy_score, f1_score

from perennial_artifact.sentence.head import Features, Matrix
from trainers.learners.heads import weighting
from trainers.learners.heads.families import calibration
from trainers.learners.heads.families.family import Answering, Gold, Judged
from trainers.learners.heads.solving import Floats, Ids, Weights, solve, solve_near
from trainers.learners.heads.weighting import Prior
from trainers.learners.protocols import Example

_UNKNOWN_LABEL = -10.0
"""Log probability that counts where no older row carries the label, and at least for any: about 1 in 22,000."""


@dataclass(frozen=True, slots=True)
class Multinomial:
    """Gold is an id for each row."""

    balanced: bool = False
    """Whether all labels weigh alike, however often they come; no prior is assumed then."""

    strengths: ClassVar[tuple[float, ...]] = (1.0, 3.0, 10.0, 30.0)

    def encoded(self, rows: Sequence[Example], ids: Mapping[str, int]) -> Gold:
        """Return the id of each row's label."""
        return np.array([ids[row.target["label"]] for row in rows], dtype=np.intp)

    def known(self, gold: Gold) -> Ids:
        """Return the ids, each once."""
        return np.unique(gold)

    def members(self, gold: Gold) -> list[Ids]:
        """Return the rows of each label, in order of their first row."""
        _labels, first, which = np.unique(gold, return_index=True, return_inverse=True)
        return [np.flatnonzero(which == label) for label in np.argsort(first)]

    def carried(self, gold: Gold, labels: int) -> npt.NDArray[np.bool_]:
        """Return which label each row carries, shape (rows, labels)."""
        found: npt.NDArray[np.bool_] = gold[:, None] == np.arange(labels)
        return found

    def probabilities(self, logits: Floats) -> Floats:
        """Return the probability of each label beside the others."""
        found: Floats = softmax(logits, axis=1)
        return found

    def usual_share(self, gold: Gold) -> float:
        """Return what share of the rows a label would have if all had the same."""
        return 1.0 / max(1, len(np.unique(gold)))

    def in_columns(self, gold: Gold, labels: Ids) -> Gold:
        """Return the column of each row's label."""
        return np.searchsorted(labels, gold)

    def told_by(self, gold: Gold, older: Gold) -> npt.NDArray[np.bool_]:
        """Return of each row whether an older one carries its label."""
        return np.isin(gold, older)

    def can_fit(self, gold: Gold) -> bool:
        """Return whether there are two labels: one alone is nothing to tell apart."""
        return len(np.unique(gold)) >= 2  # noqa: PLR2004 - see above

    def balancing(self, gold: Gold, weights: Floats) -> Floats | None:
        """Return for each row the mean weight of labels over that of its own (scikit-learn's `balanced`)."""
        if not self.balanced:
            return None
        _labels, which = np.unique(gold, return_inverse=True)
        mass = np.bincount(which, weights=weights)
        found: Floats = mass.mean() / mass[which]
        return found

    def solve(
        self, features: Matrix, gold: Gold, weights: Floats, *, strength: float, start: Weights | None = None,
        centre: Features | None = None,
    ) -> Weights:  # fmt: skip
        """Return the minimum over all labels together; see `heads.solving`."""
        more = self.balancing(gold, weights)
        weights = weights if more is None else weights * more
        if centre is None:
            return solve(features, gold, weights, strength=strength, start=start)
        return solve_near(features, gold, weights, strength=strength, centre=centre, start=start)

    def prior(
        self, solved: Weights, gold: Gold, weights: Floats, *, days: Floats, independent: Ids, window_days: float | None
    ) -> Prior | None:
        """Return the shares of labels in the window; see `heads.weighting`."""
        if self.balanced:
            return None
        return weighting.prior(solved, gold, weights, days=days, independent=independent, window_days=window_days)

    def judge(self, head: Weights, features: Matrix, gold: Gold) -> tuple[Floats, Ids]:
        """Return the log probability of each row's label, -10 at least, and the most probable label."""
        known = np.isin(gold, head.labels)
        probabilities = log_softmax(head.scores(features), axis=1)
        log = np.full(len(gold), _UNKNOWN_LABEL)
        log[known] = np.maximum(probabilities[known, np.searchsorted(head.labels, gold[known])], _UNKNOWN_LABEL)
        return log, head.labels[probabilities.argmax(axis=1)]

    def scores(self, gold: Gold, said: Ids) -> dict[str, float]:
        """Return accuracy, and macro F1 over the labels that rows carry."""
        return {
            "accuracy": float(accuracy_score(gold, said)),
            "macro_f1": float(f1_score(gold, said, labels=np.unique(gold), average="macro", zero_division=0)),
        }

    def answering(self, judged: Judged | None, gold: Gold) -> Answering:  # noqa: ARG002 - without newer rows logits stay as they are
        """Return the temperature that makes newer rows' labels most probable."""
        return Answering() if judged is None else Answering(calibration.temperature(judged))
