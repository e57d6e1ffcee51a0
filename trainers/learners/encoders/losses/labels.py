"""What tuning minimises for a row: of one label, of several that are each right or wrong, or of a tag for each of its words."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy


def loss_of_rows(logits: Tensor, targets: Tensor, weights: Tensor, closed: Tensor) -> Tensor:
    """Return the weighted loss of each row, shape (rows); `closed` marks labels (last dimension of `logits`) that are not learnt.

    `targets` are ids, shape (rows): the cross entropy over the others. Or they are 1, 0 or below 0 where nothing is known, shape
    (rows, labels): the mean binary cross entropy over what is known, so that a row counts alike however much that is. Or they
    say which tags may stand at each token, shape (rows, tokens, tags), none where nothing is told: the sum over the other tokens
    of the negative log probability that one of them does. `weights` are those of rows, shape (rows), or of each label of a row.
    """
    if targets.ndim == 1:
        return cross_entropy(logits.masked_fill(closed, -torch.inf), targets, reduction="none") * weights
    if targets.dtype == torch.bool:
        return _of_tags(logits.masked_fill(closed, -torch.inf), targets) * weights
    known = (targets >= 0) & ~closed
    each = binary_cross_entropy_with_logits(logits, targets.clamp_min(0).to(logits.dtype), reduction="none")
    each = each * (weights if weights.ndim > 1 else weights[:, None])
    return (each * known).sum(dim=1) / known.sum(dim=1).clamp_min(1)


def told(targets: Tensor) -> Tensor:
    """Return which items of `targets` have a loss, as booleans: every row, or the tokens at which some tag may stand."""
    return targets.any(dim=-1) if targets.dtype == torch.bool else torch.ones(len(targets), dtype=torch.bool)


def _of_tags(logits: Tensor, may: Tensor) -> Tensor:
    known = told(may)
    # Chosen first: where nothing may stand there is no logarithm, nor a gradient of one.
    logits, may, rows = logits[known], may[known], known.nonzero()[:, 0]
    each = logits.logsumexp(dim=-1) - logits.masked_fill(~may, -torch.inf).logsumexp(dim=-1)
    return each.new_zeros(len(known)).index_add(0, rows, each)
