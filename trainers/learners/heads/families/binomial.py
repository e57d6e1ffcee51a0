"""Any number of labels a text: a logistic regression for each label, against all rows that lack it, solved together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.metrics import f1_score

from config.errors import RunFailedError
from perennial_artifact.sentence.head import Features, Matrix
from trainers.learners.heads.families import calibration, thresholds
from trainers.learners.heads.families.family import Answering, Gold, Judged
from trainers.learners.heads.solving import Floats, Ids, Weights, refuse_infinite
from trainers.learners.heads.weighting import Prior, recent_rows
from trainers.learners.protocols import Example

NOT_KNOWN = -1
"""Whoever gave the row did not know the label: the row says nothing of it."""
_TOLERANCE = 1e-4
"""Of the gradient, divided by the rows' weights and the strength."""
_MOST_STEPS = 100
_LEAST_SHARE = 1e-6
_SMOOTHING = 2.0
"""Rows of a label that each window is given more, at the rate of all rows: a rare label is not gone because none came."""
_MOST_BALANCED = 100.0
"""What a row of a rare label weighs at most beside others."""
_LEAST_LOG = -10.0
"""Log probability that counts at least for a label of a row."""


@dataclass(frozen=True, slots=True)
class Binomial:
    """Gold is 1, 0 or `NOT_KNOWN` for each row and label."""

    balanced: bool = False
    """Whether rows with a label weigh as much as those without it; no prior is assumed then."""

    strengths: ClassVar[tuple[float, ...]] = (10.0, 30.0, 100.0)

    def encoded(self, rows: Sequence[Example], ids: Mapping[str, int]) -> Gold:
        """Return which labels each row carries, shape (rows, ids); of labels outside a row's scope nothing is known."""
        found = np.zeros((len(rows), len(ids)), dtype=np.intp)
        for gold, row in zip(found, rows, strict=True):
            if row.scope is not None:
                gold[[number for name, number in ids.items() if name not in row.scope]] = NOT_KNOWN
            gold[[ids[name] for name in row.target["labels"] if name in ids]] = 1
        return found

    def known(self, gold: Gold) -> Ids:
        """Return the labels that a row carries."""
        return np.flatnonzero((gold == 1).any(axis=0))

    def members(self, gold: Gold) -> list[Ids]:
        """Return the rows of each label that any has, then those without one."""
        return [*(np.flatnonzero(gold[:, label] == 1) for label in self.known(gold)), np.flatnonzero((gold != 1).all(axis=1))]

    def carried(self, gold: Gold, labels: int) -> npt.NDArray[np.bool_]:
        """Return which labels each row carries, shape (rows, labels)."""
        found: npt.NDArray[np.bool_] = gold[:, :labels] == 1
        return found

    def probabilities(self, logits: Floats) -> Floats:
        """Return the probability of each label by itself."""
        found: Floats = expit(logits)
        return found

    def usual_share(self, gold: Gold) -> float:
        """Return the median share of the rows that a label has."""
        marks = gold[:, self.known(gold)]
        return float(np.median((marks == 1).sum(axis=0) / np.maximum((marks != NOT_KNOWN).sum(axis=0), 1)))

    def in_columns(self, gold: Gold, labels: Ids) -> Gold:
        """Return the columns of these labels."""
        return gold[:, labels]

    def told_by(self, gold: Gold, older: Gold) -> npt.NDArray[np.bool_]:
        """Return of each row whether older ones carry all of its labels."""
        new = ~(older == 1).any(axis=0)
        found: npt.NDArray[np.bool_] = ~(gold[:, new] == 1).any(axis=1)
        return found

    def can_fit(self, gold: Gold) -> bool:
        """Return whether some row carries a label that another lacks."""
        return bool(((gold == 1).any(axis=0) & (gold == 0).any(axis=0)).any())

    def balancing(self, gold: Gold, weights: Floats) -> Floats | None:
        """Return for each cell the mean weight of both sides of its label over that of its own, at most 100."""
        if not self.balanced:
            return None
        carried, lacked = weights @ (gold == 1), weights @ (gold == 0)
        half = np.maximum((carried + lacked) / 2, np.finfo(np.float64).tiny)
        more, less = (np.minimum(half / np.maximum(side, half / _MOST_BALANCED), _MOST_BALANCED) for side in (carried, lacked))
        found: Floats = np.where(gold == 1, more, less)
        return found

    def solve(
        self, features: Matrix, gold: Gold, weights: Floats, *, strength: float, start: Weights | None = None,
        centre: Features | None = None,
    ) -> Weights:  # fmt: skip
        """Return the minimum for each label that a row carries."""
        if not self.can_fit(gold):
            message = (
                f"a head needs rows that carry a label and others that lack it, and none of {len(gold)} rows tells; send others"
            )
            raise RunFailedError(message)
        refuse_infinite(features)
        labels = self.known(gold)
        marks = gold[:, labels]
        more = self.balancing(marks, weights)
        cells = (weights[:, None] * (marks != NOT_KNOWN) * (1.0 if more is None else more)).astype(np.float32)
        carried: Features = np.maximum(marks, 0).astype(np.float32)
        begin = _begin(labels, carried, cells, features.shape[1], start)
        near = np.float32(0) if centre is None else centre[labels]
        solved = _minimum(features, carried, cells * np.float32(strength), begin, near)
        return Weights(labels, np.ascontiguousarray(solved[:, :-1], dtype=np.float32), solved[:, -1].astype(np.float32))

    def prior(
        self, solved: Weights, gold: Gold, weights: Floats, *, days: Floats, independent: Ids, window_days: float | None
    ) -> Prior | None:
        """Return how often each label comes in the window; the shift is the log of its odds there over those in all rows."""
        recent = recent_rows(days, independent, window_days)
        if self.balanced or not len(recent):
            return None
        marks = gold[:, solved.labels]
        told, carried = marks != NOT_KNOWN, marks == 1
        learnt = (weights @ carried) / np.maximum(weights @ told, np.finfo(np.float64).tiny)
        learnt = np.clip(learnt, _LEAST_SHARE, 1 - _LEAST_SHARE)
        # As many rows more, in which the label is as frequent as in all, as hold `_SMOOTHING` of it.
        more = _SMOOTHING / learnt
        shares = (carried[recent].sum(axis=0) + _SMOOTHING) / (told[recent].sum(axis=0) + more)
        shares = np.clip(shares, _LEAST_SHARE, 1 - _LEAST_SHARE)
        return Prior(solved.labels, shares, _log_odds(shares) - _log_odds(learnt))

    def judge(self, head: Weights, features: Matrix, gold: Gold) -> tuple[Floats, npt.NDArray[np.intp]]:
        """Return the log probability of each row's labels together, and the labels that are more probable than not."""
        logits = np.full(gold.shape, -np.inf)
        logits[:, head.labels] = head.scores(features)
        with np.errstate(divide="ignore"):
            log = np.maximum(-np.logaddexp(0.0, np.where(gold == 1, -logits, logits)), _LEAST_LOG)
        return np.where(gold == NOT_KNOWN, 0.0, log).sum(axis=1), (logits > 0).astype(np.intp)

    def scores(self, gold: Gold, said: npt.NDArray[np.intp]) -> dict[str, float]:
        """Return micro and macro F1 at 0.5, over the labels that rows carry."""
        carried, told = self.known(gold), gold != NOT_KNOWN
        right, given = (gold == 1)[:, carried], (said * told)[:, carried]
        return {
            f"{average}_f1": float(f1_score(right, given, average=average, zero_division=0)) for average in ("micro", "macro")
        }

    def answering(self, judged: Judged | None, gold: Gold) -> Answering:
        """Return the temperature that makes newer rows' labels most probable, and the threshold at which each label's F1 is best.

        Too few newer rows leave a threshold to the label's share.
        """
        temperature = 1.0 if judged is None else calibration.temperature_of_each(judged)
        chosen = None if judged is None else thresholds.of(expit(judged.logits / temperature), judged.gold)
        if judged is not None and chosen is not None:
            found, common = chosen
            each = dict(zip(judged.labels.tolist(), found.tolist(), strict=True))
            return Answering(temperature=temperature, thresholds=each, threshold=common)
        labels = self.known(gold)
        marks = gold[:, labels]
        # Balanced rows let every label look as if half of them carried it.
        shares = (marks == 1).sum(axis=0) / (marks != NOT_KNOWN).sum(axis=0) if not self.balanced else np.full(len(labels), 0.5)
        each = dict(zip(labels.tolist(), thresholds.by_share(shares).tolist(), strict=True))
        return Answering(temperature=temperature, thresholds=each)


def _minimum(features: Matrix, marks: Features, cells: Features, begin: Floats, near: Features | np.float32) -> Floats:
    """Return weights and bias, shape (labels, features + 1), at the minimum of the loss.

    `marks` (rows, labels) are 0 or 1, `cells` what each weighs, `near` where weights are drawn to. scikit-learn solves one label
    at a time, and each of its steps reads all features; for all together a step is one product of matrices.
    """
    scale = 1.0 / max(float(cells.sum(dtype=np.float64)) / cells.shape[1], np.finfo(np.float64).tiny)

    def loss(flat: Floats) -> tuple[float, Floats]:
        solved = flat.reshape(begin.shape)
        weight, bias = solved[:, :-1].astype(np.float32), solved[:, -1].astype(np.float32)
        logits = features @ weight.T + bias
        wrong = cells * (expit(logits) - marks)
        gradient = np.empty_like(solved)
        apart = weight - near
        gradient[:, :-1] = wrong.T @ features + apart
        gradient[:, -1] = wrong.sum(axis=0)
        value = float((cells * (np.logaddexp(np.float32(0), logits) - marks * logits)).sum(dtype=np.float64))
        return scale * (value + 0.5 * float((apart.astype(np.float64) ** 2).sum())), scale * gradient.ravel()

    options = {"gtol": _TOLERANCE, "ftol": 0.0, "maxiter": _MOST_STEPS, "maxfun": 2 * _MOST_STEPS}
    # The last steps change no answer.
    found = minimize(loss, begin.ravel(), jac=True, method="L-BFGS-B", options=options)
    solved: Floats = found.x.reshape(begin.shape)
    return solved


def _begin(labels: Ids, marks: Features, cells: Features, width: int, start: Weights | None) -> Floats:
    """Return where to begin: `start` where it knows a label, else with the label's share for every text."""
    found = np.zeros((len(labels), width + 1))
    shares = (marks * cells).sum(axis=0, dtype=np.float64) / np.maximum(cells.sum(axis=0, dtype=np.float64), _LEAST_SHARE)
    found[:, -1] = _log_odds(np.clip(shares, _LEAST_SHARE, 1 - _LEAST_SHARE))
    if start is not None and start.weight.shape[1] == width:
        known = np.isin(labels, start.labels)
        places = np.searchsorted(start.labels, labels[known])
        found[known, :-1], found[known, -1] = start.weight[places], start.bias[places]
    return found


def _log_odds(share: Floats) -> Floats:
    found: Floats = np.log(share) - np.log1p(-share)
    return found
