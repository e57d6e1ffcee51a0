"""A head solved to its optimum: multinomial logistic regression with weights per row."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from config.errors import RunFailedError
from perennial_artifact.sentence.head import Features, Matrix

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.intp]

_MOST_TOLERANCE = 1e-3
_TOLERANCE_PER_LABEL = 0.01
"""Of the gradient, over the number of labels. It is a mean over all rows, and a label's part of it shrinks with its share:
at 1e-3, hundreds of labels of equal shares ended where they began, at zero."""
_MOST_STEPS = 200


@dataclass(frozen=True, slots=True)
class Weights:
    """A solved linear map, rows in the order of `labels`."""

    labels: Ids
    """The ids that the rows stand for, ascending."""
    weight: npt.NDArray[np.float32]
    """Shape (labels, features)."""
    bias: npt.NDArray[np.float32]

    def scores(self, features: Matrix) -> Floats:
        """Return the logits, shape (rows, labels)."""
        found: Floats = (features @ self.weight.T + self.bias).astype(np.float64)
        return found


def solve(features: Matrix, labels: Ids, weights: Floats, *, strength: float, start: Weights | None = None) -> Weights:
    """Return the minimum of `strength` times the weighted cross entropy plus half the squared length of the weights.

    `features` has shape (rows, features), `labels` an id per row, `weights` a number above 0 per row; `start` is where to begin.
    Raises `RunFailedError` when there are fewer than two labels, or numbers that are not finite.
    """
    found = _told_apart(features, labels)
    tolerance = min(_MOST_TOLERANCE, _TOLERANCE_PER_LABEL / len(found))
    model = LogisticRegression(C=strength, tol=tolerance, max_iter=_MOST_STEPS, warm_start=start is not None)
    if start is not None and len(found) > 2:  # noqa: PLR2004 - two labels are solved as one row
        begin = _aligned(start, found, features.shape[1])
        model.coef_, model.intercept_, model.classes_ = begin.weight, begin.bias, found
    with warnings.catch_warnings():
        # The last steps change no answer.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features, labels, sample_weight=weights)
    weight, bias = model.coef_.astype(np.float32), model.intercept_.astype(np.float32)
    if len(found) == 2:  # noqa: PLR2004 - the library gives one row, for the second label
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return Weights(found, weight, bias)


def solve_near(
    features: Matrix, labels: Ids, weights: Floats, *, strength: float, centre: Features, start: Weights | None = None
) -> Weights:
    """Return the same minimum, with the length of what the weights differ by from `centre`, shape (label ids, features).

    scikit-learn draws weights to zero alone. Raises `RunFailedError` as `solve` does.
    """
    found, which = _told_apart(features, labels), np.searchsorted(np.unique(labels), labels)
    near, shape = centre[found], (len(found), features.shape[1] + 1)
    scale, places = 1.0 / (strength * float(weights.sum())), np.arange(len(labels))

    def loss(flat: Floats) -> tuple[float, Floats]:
        solved = flat.reshape(shape)
        weight, bias = solved[:, :-1].astype(np.float32), solved[:, -1].astype(np.float32)
        log = log_softmax(features @ weight.T + bias, axis=1)
        wrong = np.exp(log)
        wrong[places, which] -= 1.0
        wrong *= (strength * weights)[:, None].astype(np.float32)
        apart = weight - near
        gradient = np.empty(shape)
        gradient[:, :-1] = wrong.T @ features + apart
        gradient[:, -1] = wrong.sum(axis=0)
        value = -strength * float((weights * log[places, which]).sum()) + 0.5 * float((apart.astype(np.float64) ** 2).sum())
        return scale * value, scale * gradient.ravel()

    begin = np.zeros(shape)
    begin[:, :-1] = near
    if start is not None and start.weight.shape[1] == features.shape[1]:
        known = np.isin(found, start.labels)
        at = np.searchsorted(start.labels, found[known])
        begin[known, :-1], begin[known, -1] = start.weight[at], start.bias[at]
    options = {"gtol": min(_MOST_TOLERANCE, _TOLERANCE_PER_LABEL / len(found)), "ftol": 0.0, "maxiter": _MOST_STEPS}
    # The last steps change no answer.
    solved = minimize(loss, begin.ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(shape)
    return Weights(found, np.ascontiguousarray(solved[:, :-1], dtype=np.float32), solved[:, -1].astype(np.float32))


def _told_apart(features: Matrix, labels: Ids) -> Ids:
    """Return the ids of the labels. Raises `RunFailedError` for one alone, and for features that are not finite."""
    found = np.unique(labels)
    if len(found) < 2:  # noqa: PLR2004 - one label is nothing to tell apart
        message = f"a head needs rows of at least two labels, and {len(labels)} rows carry {len(found)}; send others"
        raise RunFailedError(message)
    refuse_infinite(features)
    return found


def refuse_infinite(features: Matrix) -> None:
    """Raise `RunFailedError` where features are not finite."""
    # A sum is not finite where a number is not; of a sparse matrix it reads what is stored alone.
    if len(rows := np.flatnonzero(~np.isfinite(np.asarray(features.sum(axis=1)).reshape(-1)))):
        message = (
            f"{len(rows)} rows have features that are not finite (the first is row {rows[0]}). The run fails; the next one "
            "computes them anew"
        )
        raise RunFailedError(message)


def _aligned(start: Weights, labels: Ids, width: int) -> Weights:
    """Return `start` for `labels`: those that it lacks begin at zero."""
    weight, bias = np.zeros((len(labels), width), dtype=np.float32), np.zeros(len(labels), dtype=np.float32)
    if start.weight.shape[1] == width:
        known = np.isin(labels, start.labels)
        places = np.searchsorted(start.labels, labels[known])
        weight[known], bias[known] = start.weight[places], start.bias[places]
    return Weights(labels, weight, bias)
