"""What is tuned, on which rows, and how: the values that a tuning takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from transformers import PreTrainedModel

from trainers.hardware import Hardware


class Learnable(Protocol):
    """One row to learn from."""

    @property
    def input_ids(self) -> Sequence[int]:
        """Its token ids, special ones included."""
        ...

    @property
    def weight(self) -> float | Sequence[float]:
        """What its loss is multiplied by, or the loss of each of its labels."""
        ...


@dataclass(frozen=True, slots=True)
class Row:
    """One tokenised example."""

    input_ids: Sequence[int]
    label: int | Sequence[float]
    """Its id; of several labels 1, 0 or below 0 (not known) for each; or the numbers that a head is to give."""
    weight: float | Sequence[float]
    """Of several labels it may be one for each."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to learn."""

    epochs: int
    learning_rate: float
    batch_size: int
    seed: int
    hardware: Hardware
    max_steps: int = -1
    """Stop after this many steps; -1: after `epochs`."""
    accumulation: int = 1
    """Batches whose gradients make one step."""
    layer_decay: float = 1.0
    """Share of a layer's step size that the layer below it has."""
    gradient_checkpointing: bool = False
    """Compute once more what a layer gives when the gradient needs it, instead of keeping it."""
    patience: int | None = None
    """Stop after so many epochs that answer the rows kept back no better; None: never."""

    @property
    def rows_per_step(self) -> int:
        """Rows that one step learns from."""
        return self.batch_size * self.accumulation


def ids_of(rows: Sequence[Row]) -> torch.Tensor:
    """Return the label of each row, shape (rows), or what is known of each label, shape (rows, labels)."""
    return torch.tensor([row.label for row in rows])


@dataclass(frozen=True, slots=True)
class Trainable:
    """What is trained."""

    model: nn.Module
    """Called with `input_ids` and `attention_mask`; what it returns has `logits`, the labels' in the last dimension."""
    transformer: PreTrainedModel
    """The part of it whose attention is computed."""
    pad: Callable[[Sequence[Sequence[int]]], dict[str, torch.Tensor]]
    """Brings rows of token ids to one length, with a mask."""
    labels: int
    targets: Callable[[Sequence[Any]], torch.Tensor] = ids_of
    """What the loss (`losses`) compares the logits of a batch of rows with."""
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    """The loss of each row, of logits and of what the rows say (numbers); None: of labels."""
