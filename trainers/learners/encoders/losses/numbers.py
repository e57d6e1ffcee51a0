"""What tuning minimises for a row of numbers: squared errors, or Huber's, of what is known, on a scale from 0 to 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import huber_loss, mse_loss

from trainers.learners.ridge.solving import Loss

_BOUND = 0.1
"""Of the range: an error beyond counts by its size alone (`huber`)."""


def loss_of(loss: Loss, weights: Sequence[float]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss of each row, shape (rows), of what a head gives and of the truth, both (rows, dimensions).

    The mean, weighted by `weights`, over the dimensions whose truth is a number: a row counts alike however many these are, and
    one without any for nothing.
    """
    shares = torch.tensor(weights, dtype=torch.float32)

    def of_rows(given: Tensor, truth: Tensor) -> Tensor:
        known = (~truth.isnan()) * shares.to(given.device)
        truth = truth.nan_to_num()
        each = (
            mse_loss(given, truth, reduction="none")
            if loss == "mse"
            else huber_loss(given, truth, reduction="none", delta=_BOUND)
        )
        total = known.sum(dim=1)
        return (each * known).sum(dim=1) / torch.where(total > 0, total, torch.ones_like(total))

    return of_rows
