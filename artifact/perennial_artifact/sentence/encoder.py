"""The encoder of a sentence classifier: a transformer, pooled, and what follows up to the head."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from perennial_artifact.compute import Compute, Used
from perennial_artifact.errors import UnusableError
from perennial_artifact.sentence.head import Features
from perennial_artifact.sentence.layout import (
    WEIGHTS_FILE,
    Module,
    makes_the_variant,
    read_layout,
    write_dense,
    write_layout,
)
from perennial_artifact.transformer import adapter, reading
from perennial_artifact.transformer.encoder import UNREADABLE, load, load_tokenizer
from perennial_artifact.variants.graph import Graph, Ids, Numbers, filled
from perennial_artifact.variants.opening import open_variant

_ROWS_PER_BATCH = 32
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_ACTIVATIONS = {"Identity": nn.Identity, "Tanh": nn.Tanh, "ReLU": nn.ReLU, "GELU": nn.GELU}


class Pooled(nn.Module):
    """A transformer and the modules behind it: token ids in, one vector of features for each text out."""

    def __init__(self, transformer: PreTrainedModel, modules: Sequence[Module], dense: Sequence[nn.Module] = ()) -> None:
        """`dense` are the modules of kind Dense, in order."""
        super().__init__()
        self.transformer = transformer
        self.dense = nn.ModuleList(dense)
        self.layout = tuple(modules)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return features, float32, shape (rows, features), of token ids and their mask, both of shape (rows, tokens)."""
        found: Tensor = self.transformer(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        dense = iter(self.dense)
        for module in self.layout:
            if module.kind == "Pooling":
                found = _pooled(found, attention_mask, module.options["pooling"])
            elif module.kind == "Normalize":
                found = nn.functional.normalize(found, dim=-1)
            else:
                found = next(dense)(found)
        return found


class SentenceEncoder:
    """A loaded encoder. Thread-safe: two models may have it in common while one takes the other's place."""

    def __init__(self, graph: Graph, tokenizer: PreTrainedTokenizerBase, used: Used, *, max_tokens: int) -> None:
        """Take a network over that makes features, shape (rows, features), of token ids."""
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        tokenizer.model_max_length = max_tokens
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.used = used
        """What computes."""
        self._lock = threading.Lock()
        self._graph = graph

    @classmethod
    def of_weights(cls, pooled: Pooled, tokenizer: PreTrainedTokenizerBase, compute: Compute, *, max_tokens: int) -> Self:
        """Return an encoder of loaded modules; they move to where `compute` says. Raises `UnusableError`."""
        return cls(by_torch(pooled, compute), tokenizer, Used(compute.precision), max_tokens=max_tokens)

    @classmethod
    def open(cls, folder: Path, compute: Compute, *, max_tokens: int | None = None) -> Self:
        """Return the encoder of a published model: the variant beside its weights where that fits, else these.

        Raises `UnusableError` when they cannot be read, or one is missing.
        """
        found = open_variant(folder, compute, makes_the_variant, threads=torch.get_num_threads())
        if found.graph is not None:
            graph, tokenizer = found.graph, load_tokenizer(folder)
        else:
            pooled, tokenizer = open_pooled(folder)
            graph = by_torch(pooled, found.compute, compiled=found.compiled)
        return cls(graph, tokenizer, found.used, max_tokens=max_tokens or tokenizer.model_max_length)

    def features(self, texts: Sequence[str]) -> tuple[Features, list[bool]]:
        """Return features, float32, shape (texts, features), in order, and of each text whether it was cut."""
        with self._lock:
            tokenised, cut = reading.read(self.tokenizer, texts)
            return self.features_of(tokenised), cut

    def features_of(self, tokenised: Sequence[Sequence[int]]) -> Features:
        """Return the features of texts that `reading.read` has tokenised."""
        found: list[Any] = [None] * len(tokenised)
        for batch in reading.by_length([len(tokens) for tokens in tokenised], _ROWS_PER_BATCH):
            rows = self._graph(*filled([tokenised[index] for index in batch], self.tokenizer.pad_token_id))
            for index, row in zip(batch, rows, strict=True):
                found[index] = row
        return np.stack(found) if found else np.empty((0, 0), dtype=np.float32)


def by_torch(pooled: Pooled, compute: Compute, *, compiled: bool = False) -> Graph:
    """Return what torch computes by these modules, which move to where `compute` says. Raises `UnusableError`."""
    if compute.precision not in _TYPES:
        message = f"precision {compute.precision!r} is not one of {', '.join(_TYPES)}"
        raise UnusableError(message)
    # The transformer alone computes in bf16: means over many tokens would be rounded at each sum.
    pooled.eval().to(compute.device)
    pooled.transformer.to(dtype=_TYPES[compute.precision])  # type: ignore[call-arg]  # the decorated method's type loses its self
    network = torch.compile(pooled, dynamic=True) if compiled else pooled

    def compute_features(input_ids: Ids, attention_mask: Ids) -> Numbers:
        with torch.inference_mode():
            given = (torch.from_numpy(values).to(compute.device) for values in (input_ids, attention_mask))
            found: Numbers = network(*given).float().cpu().numpy()
        return found

    return compute_features


def open_pooled(folder: Path) -> tuple[Pooled, PreTrainedTokenizerBase]:
    """Return the modules up to the head, in fp32, and the tokenizer. Raises `UnusableError` when the files lack a weight."""
    modules = read_layout(folder)
    # A pooler is not used here, and a transformer saved without one is whole.
    transformer, tokenizer = load(AutoModel, folder, unused="pooler")
    try:
        dense = [_dense(folder / module.path, module.options["activation"]) for module in modules if module.kind == "Dense"]
    except UNREADABLE as error:
        message = f"the model in {folder} cannot be read ({error})"
        raise UnusableError(message) from error
    return Pooled(transformer, modules, dense), tokenizer


def save_encoder(pooled: Pooled, tokenizer: PreTrainedTokenizerBase, folder: Path, *, max_tokens: int) -> None:
    """Write everything but the head into `folder`; what was tuned by an adapter as that, beside what it was added to."""
    adapter.save(pooled.transformer, folder)
    dense = [module for module in pooled.layout if module.kind == "Dense"]
    for module, layers in zip(dense, pooled.dense, strict=True):
        linear = layers.get_submodule("0")  # the other one is the activation, see _dense
        assert isinstance(linear, nn.Linear)  # noqa: S101 - narrows the type
        place = folder / module.path
        write_dense(place, inputs=linear.in_features, outputs=linear.out_features, activation=module.options["activation"])
        save_file({"linear.weight": linear.weight.data.contiguous(), "linear.bias": linear.bias.data}, place / WEIGHTS_FILE)
    tokenizer.model_max_length = max_tokens
    tokenizer.save_pretrained(folder)
    write_layout(folder, pooled.layout, max_tokens=max_tokens)


def _dense(folder: Path, activation: str) -> nn.Module:
    tensors = load_file(folder / WEIGHTS_FILE)
    weight, bias = tensors["linear.weight"], tensors["linear.bias"]
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.load_state_dict({"weight": weight, "bias": bias})
    return nn.Sequential(linear, _ACTIVATIONS[activation]())


def _pooled(tokens: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Return one vector of each row's tokens, shape (rows, tokens, features), in float32."""
    tokens = tokens.float()
    if pooling == "cls":
        return tokens[:, 0]
    if pooling == "last":
        # Rows are filled up behind their end.
        return tokens[torch.arange(len(tokens), device=tokens.device), mask.sum(dim=1) - 1]
    weights = mask.unsqueeze(-1).to(tokens.dtype)
    return (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1e-9)
