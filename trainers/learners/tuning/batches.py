"""Which rows stand in which batch: of like length together, in an order that is a function of seed and epoch alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
from torch.utils.data import DataLoader, Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices

from trainers.learners.tuning.processes import Processes

_GROUP_STEPS = 50
"""Steps whose rows are sorted by length together."""

T_co = TypeVar("T_co", covariant=True)


class GroupedByLength(Sampler[int]):
    """The library's grouping, in an order that is a function of seed and epoch alone, so that a resumed epoch goes on in it.

    The library groups within as few as one batch when rows are few; here always within `_GROUP_STEPS` steps. Steps are
    shuffled, because rows of like length are alike in other ways too; the longest stays first, so that memory runs out at
    once or not at all. The rows of a step are the same in however many batches it is made.
    """

    def __init__(self, rows_per_step: int, lengths: Sequence[int], seed: int) -> None:
        self._rows_per_step = rows_per_step
        self._lengths = list(lengths)
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch; the library calls it before each."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        chance = torch.Generator().manual_seed(self._seed * 1_000 + self._epoch)
        order = get_length_grouped_indices(self._lengths, self._rows_per_step, _GROUP_STEPS, chance)  # type: ignore[no-untyped-call]  # the library leaves it without types
        steps = [order[start : start + self._rows_per_step] for start in range(0, len(order), self._rows_per_step)]
        # The last may be smaller; anywhere else it would shift the borders of those behind it.
        middle = steps[1:-1]
        shuffled = torch.randperm(len(middle), generator=chance).tolist()
        for step in [*steps[:1], *(middle[index] for index in shuffled), *steps[1:][-1:]]:
            yield from step


class Share(Sampler[list[int]]):
    """Of every batch the rows that one of several processes learns from.

    A process that is left without a row gets one all the same, as `-1 - row`: it is to say nothing, but all must take each step.
    """

    def __init__(self, order: GroupedByLength, batch_size: int, together: Processes) -> None:
        self._order, self._batch_size, self._together = order, batch_size, together

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch."""
        self._order.set_epoch(epoch)

    def __len__(self) -> int:
        return math.ceil(len(self._order) / self._batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = list(self._order)
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            yield batch[self._together.rank :: self._together.count] or [-1 - batch[0]]


class SharedLoader(DataLoader[T_co]):
    """Loads the rows of a `Share`; the library tells it of epochs."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch; the library calls it before each."""
        assert isinstance(self.batch_sampler, Share)  # noqa: S101 - narrows the type
        self.batch_sampler.set_epoch(epoch)
