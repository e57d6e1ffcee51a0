"""Several processes tune one model together: which of them this one is, and what they tell one another.

`torchrun` (torch.distributed.run) has started them and says so in the environment. All hold the same model and learn from a share
of each batch; what they add up is the gradient that one process would have had. The first writes; the others end with the tuning.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TypeVar

from config.errors import PerennialError
from trainers.hardware import Device

T = TypeVar("T")


class LeftError(PerennialError):
    """This process has done its part of the tuning; the first one goes on alone."""


@dataclass(frozen=True, slots=True)
class Processes:
    """Which process this one is of how many."""

    rank: int
    """From 0 on."""
    count: int

    @property
    def first(self) -> bool:
        """Whether it is the one that writes."""
        return self.rank == 0


ALONE = Processes(0, 1)


def here() -> Processes:
    """Return which process this one is; without `torchrun` it is alone."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return ALONE
    return Processes(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))


def join(device: Device) -> None:
    """Meet the other processes, where there are any; each computes on a GPU of its own."""
    import torch  # noqa: PLC0415 - heavy, and the job asks `here` before it may be imported
    from torch import distributed  # noqa: PLC0415 - same

    if here().count == 1 or distributed.is_initialized():
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if device == "cuda" else "gloo")


def first_says(value: T) -> T:
    """Return what the first process gave here, in all of them; they have met before."""
    if here().count == 1:
        return value
    from torch import distributed  # noqa: PLC0415 - see `join`

    told = [value]
    distributed.broadcast_object_list(told, src=0)
    return told[0]


def all_say(value: T) -> list[T]:
    """Return what each process gave here, in all of them, by rank; they have met before."""
    if here().count == 1:
        return [value]
    from torch import distributed  # noqa: PLC0415 - see `join`

    told: list[T | None] = [None] * here().count
    distributed.all_gather_object(told, value)
    return [one for one in told if one is not None]


def leave() -> None:
    """Part from the other processes; raises `LeftError` in all but the first."""
    together = here()
    if together.count == 1:
        return
    from torch import distributed  # noqa: PLC0415 - see `join`

    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()
    if not together.first:
        raise LeftError
