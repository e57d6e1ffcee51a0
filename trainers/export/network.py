"""A published or freshly trained model as one torch module: token ids in, the numbers out that a variant is to give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from perennial_artifact import manifest
from perennial_artifact.description import MODEL_FILE, describe
from perennial_artifact.errors import UnusableError
from perennial_artifact.sentence import layout
from perennial_artifact.tagging import entities
from perennial_artifact.transformer.reading import by_length
from perennial_artifact.variants.graph import Graph, Numbers, filled
from perennial_artifact.variants.note import hash_of

EXAMPLE = ((101, 2023, 2003, 102), (101, 102))
"""Token ids to trace by: two rows, one of them filled up; replaced by what the model knows."""
_ROWS_PER_BATCH = 32


@dataclass(frozen=True, slots=True)
class Network:
    """A loaded model, in fp32 on the processor."""

    module: nn.Module
    fill: int
    """The token id that fills rows up."""
    vocabulary: int

    def example(self) -> tuple[Tensor, Tensor]:
        """Return token ids and mask of two rows, one of them filled up."""
        rows = [[token % self.vocabulary for token in row] for row in EXAMPLE]
        ids, mask = filled(rows, self.fill)
        return torch.from_numpy(ids), torch.from_numpy(mask)

    def numbers(self, rows: Sequence[Sequence[int]]) -> list[Numbers]:
        """Return what the weights make of each row, in fp32."""

        def compute(input_ids: np.ndarray, attention_mask: np.ndarray) -> Numbers:
            with torch.inference_mode():
                found: Numbers = self.module(torch.from_numpy(input_ids), torch.from_numpy(attention_mask)).float().numpy()
            return found

        return numbers_of(compute, rows, self.fill)


def numbers_of(graph: Graph, rows: Sequence[Sequence[int]], fill: int) -> list[Numbers]:
    """Return what a network makes of each row: one vector, or one for each of its tokens."""
    found: list[Numbers] = [np.empty(0, dtype=np.float32)] * len(rows)
    for batch in by_length([len(row) for row in rows], _ROWS_PER_BATCH):
        made = graph(*filled([rows[at] for at in batch], fill))
        for at, one in zip(batch, made, strict=True):
            found[at] = one[: len(rows[at])] if one.ndim > 1 else one
    return found


class _Logits(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def open_network(folder: Path) -> Network:
    """Return the model in a folder. Raises `UnusableError` for one that has no variants."""
    if _is_tagging(folder):
        model, tokenizer = entities.open_weights(folder)
        module: nn.Module = _Logits(model)
        size = model.config.vocab_size
    elif (folder / layout.MODULES_FILE).is_file():
        from perennial_artifact.sentence.encoder import open_pooled  # noqa: PLC0415 - of this sort alone

        pooled, tokenizer = open_pooled(folder)
        module, size = pooled, pooled.transformer.config.vocab_size
    else:
        message = f"a model of format {_format(folder)} has no variants; sentence encoders and token classifiers have"
        raise UnusableError(message)
    return Network(module.eval(), int(tokenizer.pad_token_id or 0), int(size))


def parent_of(folder: Path) -> str:
    """Return the hash of the files in a folder that its variants are made from."""
    return hash_of(folder, filter(made_from(folder), manifest.regular_files(folder)))


def made_from(folder: Path) -> Callable[[str], bool]:
    """Return what tells of a file in a folder whether variants are made from it."""
    return entities.makes_the_variant if _is_tagging(folder) else layout.makes_the_variant


def _is_tagging(folder: Path) -> bool:
    return _format(folder) == entities.FORMAT


def _format(folder: Path) -> str:
    # An encoder that was just tuned has no description yet.
    return describe(folder).format if (folder / MODEL_FILE).is_file() else ""
