"""Batches that fit into the memory there is: what a step will hold is counted before the first one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from transformers import PreTrainedModel

from trainers.hardware import Hardware
from trainers.learners.tuning.recomputing import recomputed

_SHARE_USED = 0.8
"""Of the memory that is free; other processes want some too."""
_ON_TOP = 1.5
"""What a backward pass takes for a moment, beside what the forward pass has kept for it."""
_OF_ONE_LAYER = 3
"""What a layer that is computed once more takes, by what it keeps: its gradients are due then too (docs/benchmarks.md)."""
_BYTES = 4
_BYTES_OF_A_TUNED_WEIGHT = 3 * _BYTES
"""Its gradient, and the two averages of Adam."""
_MIB = 1 << 20

_LOG = structlog.get_logger(__name__)


def largest(rows_per_step: int, at_most: int, *, fixed: float, per_row: float, free: float, among: int = 1) -> int:
    """Return how many rows a batch may hold so that it fits into `free` bytes: of a step's rows such a part as leaves none over.

    `fixed` bytes are needed whatever the batch, `per_row` for each of its rows, which `among` processes share, each with so much
    free. 1 where not even that fits.
    """
    wholes = (rows for rows in range(min(rows_per_step, at_most), 0, -1) if rows_per_step % rows == 0)
    room = _SHARE_USED * free - fixed
    return next((rows for rows in wholes if -(-rows // among) * per_row * _ON_TOP <= room), 1)


def batch_that_fits(  # noqa: PLR0917 - all of them are what a step is made of
    model: nn.Module,
    transformer: PreTrainedModel,
    batch_of: Sequence[Mapping[str, Tensor]],
    hardware: Hardware,
    rows_per_step: int,
    at_most: int,
    *,
    recompute: bool,
    free: float,
    among: int,
) -> int:
    """Return how many rows a batch may hold so that a step of `model` fits into `free` bytes of `among` processes (`largest`).

    `batch_of` holds the inputs of one row and of two rows, both as long as the longest; `recompute`: layers are computed once
    more when their gradient is due.
    """
    fixed, per_row = bytes_per_row(model, batch_of, hardware)
    if recompute:
        with recomputed(transformer, wanted=True):
            fixed, again = bytes_per_row(model, batch_of, hardware)
        tokens = batch_of[0]["input_ids"].shape[1]
        per_row = recomputed_bytes_per_row(transformer, tokens, kept=per_row, kept_recomputing=again)
    fixed += fixed_bytes(model)
    found = largest(rows_per_step, at_most, fixed=fixed, per_row=per_row, free=free, among=among)
    _LOG.info(
        "batch_size_chosen", rows=found, rows_per_step=rows_per_step, mib_per_row=round(per_row / _MIB, 2),
        fixed_mib=round(fixed / _MIB), free_mib=round(free / _MIB),
    )  # fmt: skip
    return found


def fixed_bytes(model: nn.Module) -> int:
    """Return the bytes that tuning a model holds beside its weights and whatever the batch."""
    return sum(weights.numel() * _BYTES_OF_A_TUNED_WEIGHT for weights in model.parameters() if weights.requires_grad)


def bytes_per_row(model: nn.Module, batch_of: Sequence[Mapping[str, Tensor]], hardware: Hardware) -> tuple[int, int]:
    """Return the bytes that a forward pass keeps for the backward pass: whatever the batch, and for each row.

    `batch_of` holds the inputs of one row and of two rows, of the same length.
    """
    one, two = (_kept(model, batch, hardware) for batch in batch_of)
    return max(0, 2 * one - two), max(1, two - one)


def recomputed_bytes_per_row(transformer: PreTrainedModel, tokens: int, *, kept: int, kept_recomputing: int) -> int:
    """Return the bytes of a row where layers are computed once more: each layer's input, and one layer at a time.

    `kept` and `kept_recomputing` are those of `bytes_per_row` without and with it; the latter lacks the inputs.
    """
    layers, width = int(transformer.config.num_hidden_layers), int(transformer.config.hidden_size)
    one_layer = max(0, kept - kept_recomputing) // layers
    return min(kept, kept_recomputing + layers * tokens * width * _BYTES + _OF_ONE_LAYER * one_layer)


def _kept(model: nn.Module, batch: Mapping[str, Tensor], hardware: Hardware) -> int:
    own = {values.untyped_storage().data_ptr() for values in (*model.parameters(), *model.buffers())}
    found: dict[int, int] = {}

    def keep(values: Tensor) -> Tensor:
        storage = values.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return values

    model.train()
    with (
        torch.autocast(hardware.device, dtype=torch.bfloat16, enabled=hardware.precision == "bf16"),
        saved_tensors_hooks(keep, lambda values: values),
    ):
        # Held until all is counted, so that no two of them have had the same place.
        outputs = model(**batch)
    count = sum(found.values())
    del outputs
    return count
