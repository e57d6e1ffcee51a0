"""What tuning minimises for a row: of one label, or of several that are each right or wrong by themselves."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy


def loss_of_rows(logits: Tensor, labels: Tensor, closed: Tensor) -> Tensor:
    """Return the loss of each row, shape (rows); `logits` has shape (rows, labels), `closed` marks labels that are not learnt.

    `labels` are ids, shape (rows): the cross entropy over the others. Or they are 1, 0 or below 0 where nothing is known, shape
    (rows, labels): the mean binary cross entropy over what is known, so that a row counts alike however much that is.
    """
    if labels.ndim == 1:
        return cross_entropy(logits.masked_fill(closed, -torch.inf), labels, reduction="none")
    told = (labels >= 0) & ~closed
    each = binary_cross_entropy_with_logits(logits, labels.clamp_min(0).to(logits.dtype), reduction="none")
    return (each * told).sum(dim=1) / told.sum(dim=1).clamp_min(1)
