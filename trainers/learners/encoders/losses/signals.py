"""What tuning minimises for a row of signals: the loss of its scores, and that of its tags, of what is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
