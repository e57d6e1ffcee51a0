"""What tuning minimises for a row of signals: the loss of its scores, and that of its tags, of what is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from trainers.learners.encoders.losses.numbers import loss_of as number_loss
from trainers.learners.ridge.solving import Loss


def loss_of(loss: Loss, tags: Sequence[int]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss of each row, shape (rows), of what heads give and of the truth.

    `tags` are how many each category has. Given are, shape (rows, categories + all tags), the scores on a scale from 0 to 1, then
    the logits of tags, category by category; the truth, shape (rows, 2 categories), is each score, then the place of each tag in
    its category, and not a number where one is not known. Each of both is the mean over what is known, so that a row counts alike
    however much that is.
    """
    count = len(tags)
    of_scores = number_loss(loss, [1.0] * count)

    def of_rows(given: Tensor, truth: Tensor) -> Tensor:
        total, known, first = of_scores(given[:, :count], truth[:, :count]), truth.new_zeros(len(truth)), count
        summed = truth.new_zeros(len(truth))
        for at, size in enumerate(tags):
            right = truth[:, count + at]
            told = ~right.isnan()
            if size > 1 and bool(told.any()):
                each = cross_entropy(given[told, first : first + size], right[told].long(), reduction="none")
                summed = summed.index_add(0, told.nonzero()[:, 0], each)
                known += told
            first += size
        return total + summed / known.clamp_min(1)

    return of_rows


def taught_loss_of(loss: Loss, tags: Sequence[int], temperature: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the same where a teacher has answered: it counts in each category beside gold, or alone where gold is missing.

    The truth has further columns, shape (rows, 2 categories + 1 + all tags): what the teacher's tags count beside gold, and its
    probability of each tag at the temperature, all 0 in a category of which it says nothing. Scores are those to learn already.
    """
    count = len(tags)
    of_scores = number_loss(loss, [1.0] * count)

    def of_rows(given: Tensor, truth: Tensor) -> Tensor:
        share, at_tags = truth[:, 2 * count], 2 * count + 1
        summed, known, first = truth.new_zeros(len(truth)), truth.new_zeros(len(truth)), 0
        for at, size in enumerate(tags):
            logits, said = given[:, count + first : count + first + size], truth[:, at_tags + first : at_tags + first + size]
            first += size
            if size < 2:  # noqa: PLR2004 - one tag is nothing to tell apart
                continue
            right = truth[:, count + at]
            told, says = ~right.isnan(), said.sum(dim=1) > 0
            plain = -logits.log_softmax(dim=-1).gather(1, right.nan_to_num().long()[:, None])[:, 0]
            apart = -(said * (logits / temperature).log_softmax(dim=-1)).sum(dim=-1)
            beside = torch.where(says, torch.where(told, share, torch.ones_like(share)), torch.zeros_like(share))
            summed = summed + told * (1.0 - beside) * plain + beside * temperature**2 * apart
            known += told | says
        return of_scores(given[:, :count], truth[:, :count]) + summed / known.clamp_min(1)

    return of_rows
