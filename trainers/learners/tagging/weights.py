"""The weights of a token classifier that a run moves: copied, and put back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from transformers import PreTrainedModel

from perennial_artifact.transformer.adapter import adapter_of, note
from trainers.learners.entities.averaging import Weights

_NONE_YET = np.float32(1e-30)
"""What adapters begin at: nothing, but no zero, which would stand for a move that the champion does not know."""


def weights_of(model: PreTrainedModel, *, whole: bool) -> Weights:
    """Return a copy of a model's weights by their names, unless `whole` only those above its body; and those of its adapter."""
    adapter = adapter_of(model)
    body = f"{model.base_model_prefix}."
    names: dict[str, torch.Tensor] = {
        name: values for name, values in model.named_parameters() if whole or not name.startswith(body)
    }
    if adapter is not None:
        names |= dict(adapter.tensors)
    return {name: values.detach().float().cpu().numpy().copy() for name, values in names.items()}


def from_the_start(start: Weights, end: Weights) -> Weights:
    """Return `start` and what an adapter that came after it began at: its first matrices as they are in `end`, no second ones."""
    return {
        name: start[name] if name in start else values if ".lora_A." in name else np.full_like(values, _NONE_YET)
        for name, values in end.items()
    }


def put(model: PreTrainedModel, weights: Weights) -> None:
    """Give a model of the same shape these weights, which `weights_of` named."""
    adapter = adapter_of(model)
    with torch.no_grad():
        for name, values in model.named_parameters():
            if name in weights:
                values.copy_(torch.from_numpy(weights[name]))
    if adapter is not None:
        moved = replace(adapter, tensors={name: torch.from_numpy(weights[name]) for name in adapter.tensors})
        moved.take_from(model)
        moved.add_to(model)
        note(model, moved)
