"""Linear maps from features to numbers, solved to their optimum: ridge regression with weights per row and missing numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import Ridge

from perennial_artifact.sentence.head import Matrix
from trainers.learners.heads.solving import Floats, refuse_infinite

Loss = Literal["mse", "huber"]

_ROUNDS = 8
"""Of reweighting for the Huber loss; more change no answer."""
_TUNING_CONSTANT = 1.345
"""Standard deviations from which an error counts by its size alone: 95 % efficient where errors are normal (Huber 1981)."""
_SIGMAS_PER_MAD = 1.4826
"""The standard deviation of normal errors over their median absolute size."""


@dataclass(frozen=True, slots=True)
class Map:
    """A solved linear map."""

    weight: npt.NDArray[np.float32]
    """Shape (dimensions, features)."""
    bias: npt.NDArray[np.float32]

    def values(self, features: Matrix) -> Floats:
        """Return the numbers, shape (rows, dimensions)."""
        found: Floats = (features @ self.weight.T + self.bias).astype(np.float64)
        return found


def solve(features: Matrix, values: Floats, weights: Floats, *, strength: float | Floats, loss: Loss = "mse") -> Map:
    """Return the minimum of `strength` times the weighted loss plus the squared length of the weights, for each dimension.

    `features` has shape (rows, features); `values` (rows, dimensions) holds a number for each dimension in at least one row, and
    is not a number where it is missing: such a row says nothing of that dimension. `strength` is one for all dimensions, or one
    for each. `loss`: squared errors, or Huber's with a scale learnt from the errors. A dimension without any number is zero.
    Raises `RunFailedError` for features that are not finite.
    """
    refuse_infinite(features)
    count = values.shape[1]
    strengths = np.broadcast_to(np.asarray(strength, dtype=np.float64), (count,))
    weight, bias = np.zeros((count, features.shape[1]), dtype=np.float32), np.zeros(count, dtype=np.float32)
    known = ~np.isnan(values)
    # Dimensions that the same rows know are solved together, which costs as much as one.
    patterns = [column.tobytes() for column in known.T]
    for pattern in dict.fromkeys(patterns):
        columns = [at for at, found in enumerate(patterns) if found == pattern]
        rows = np.flatnonzero(known[:, columns[0]])
        if len(rows):
            seen = features[rows], values[rows][:, columns], weights[rows]
            weight[columns], bias[columns] = _together(*seen, strengths[columns], loss)
    return Map(weight, bias)


def _together(features: Matrix, values: Floats, weights: Floats, strengths: Floats, loss: Loss) -> tuple[Floats, Floats]:
    found = _ridge(features, values, weights, strengths)
    if loss == "mse":
        return found
    columns = [
        _huber(features, values[:, at], weights, strengths[at : at + 1], found[0][at], found[1][at])
        for at in range(len(strengths))
    ]
    return np.stack([weight for weight, _bias in columns]), np.array([bias for _weight, bias in columns])


def _huber(  # noqa: PLR0917 - where it begins is a map
    features: Matrix, values: Floats, weights: Floats, strengths: Floats, weight: Floats, bias: Floats
) -> tuple[Floats, Floats]:
    """Return the minimum of the Huber loss from a start: each round is a ridge in which large errors weigh less."""
    for _round in range(_ROUNDS):
        errors = np.abs(values - features @ weight - bias)
        bound = max(_TUNING_CONSTANT * _SIGMAS_PER_MAD * float(np.median(errors)), np.finfo(np.float64).tiny)
        lighter = weights * np.minimum(1.0, bound / np.maximum(errors, bound))
        found, offset = _ridge(features, values[:, None], lighter, strengths)
        weight, bias = found[0], offset[0]
    return weight, bias


def _ridge(features: Matrix, values: Floats, weights: Floats, strengths: Floats) -> tuple[Floats, Floats]:
    # A copy in 64 bits: the normal equations square what is lost in 32. Of many sparse columns they are not written down.
    solver = "cholesky" if isinstance(features, np.ndarray) else "sparse_cg"
    model = Ridge(alpha=1.0 / strengths, solver=solver, copy_X=False)
    model.fit(features.astype(np.float64), values, sample_weight=weights)
    return np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
