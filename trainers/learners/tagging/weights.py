"""The weights of a token classifier: copied, and put back."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from trainers.learners.entities.averaging import Weights


def weights_of(model: PreTrainedModel) -> Weights:
    """Return a copy of a model's weights, by their names."""
    return {name: values.detach().float().cpu().numpy().copy() for name, values in model.named_parameters()}


def put(model: PreTrainedModel, weights: Weights) -> None:
    """Give a model of the same shape these weights."""
    with torch.no_grad():
        for name, values in model.named_parameters():
            values.copy_(torch.from_numpy(weights[name]))
