"""Step sizes: by the size of what is tuned, and from layer to layer.

A larger base takes smaller steps. Ours is a rule of thumb through three points: 2e-4 for the six layers of MiniLM, as measured
here (docs/benchmarks.md), 5e-5 for BERT-base and 2.2e-5 for BERT-large, both within what their authors chose from (Devlin and
others, "BERT", NAACL 2019, appendix A.3: 2e-5 to 5e-5). The two thirds are what joins them; no law says so. Low-rank adapters
take ten times the rate: Hu and others ("LoRA", ICLR 2022, appendix D) tune models of the size of BERT by 2e-4 to 5e-4.

That lower layers, which know what is general, take smaller steps is "discriminative fine-tuning" (Howard and Ruder, ACL 2018).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from config.errors import UserError

_MEASURED_RATE = 2e-4
_MEASURED_SIZE = 10.8e6
"""Weights of `minilm` outside its embeddings."""
_POWER = 2 / 3
_SMALLEST, _LARGEST = 1e-6, 5e-4
_OF_ADAPTERS = 10


def size_of(transformer: PreTrainedModel) -> int:
    """Return how many weights a transformer has outside its embeddings, which grow with the vocabulary and not with the depth."""
    embedded = {
        id(weights) for module in transformer.modules() if isinstance(module, nn.Embedding) for weights in module.parameters()
    }
    return sum(weights.numel() for weights in transformer.parameters() if id(weights) not in embedded)


def rate_for(size: int, *, adapters: bool = False) -> float:
    """Return the step size for so many weights, to two digits; `adapters` take ten times that. Between 1e-6 and 5e-4."""
    rate = _MEASURED_RATE * (_MEASURED_SIZE / max(size, 1)) ** _POWER * (_OF_ADAPTERS if adapters else 1)
    return float(f"{min(max(rate, _SMALLEST), _LARGEST):.2g}")


def by_layer(model: nn.Module, transformer: PreTrainedModel, rate: float, decay: float) -> list[dict[str, Any]]:
    """Return the weights that are tuned in groups for an optimizer, each with its `lr`, from the bottom up.

    What stands above the layers (the head, a last norm) has `rate`; the topmost layer `rate * decay`, each layer below it `decay`
    times that of the one above, and the embeddings that of a layer below the lowest. Raises `UserError` where the layers cannot
    be told apart.
    """
    layers = _layers(transformer)
    depths = {id(weights): depth for depth, layer in enumerate(layers, start=1) for weights in layer.parameters()}
    first = next(iter(layers[0].parameters()))
    below = {id(weights) for weights in _until(transformer, first)}
    above = len(layers) + 1
    groups: dict[int, list[nn.Parameter]] = {}
    for weights in model.parameters():
        if weights.requires_grad:
            depth = depths.get(id(weights), 0 if id(weights) in below else above)
            groups.setdefault(depth, []).append(weights)
    return [{"params": groups[depth], "lr": rate * decay ** (above - depth)} for depth in sorted(groups)]


def _layers(transformer: PreTrainedModel) -> nn.ModuleList:
    """Return the list of a transformer's layers: as long as its configuration says that they are many."""
    config: Any = transformer.config
    count = getattr(config, "num_hidden_layers", None)
    for module in transformer.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count and any(True for _weights in module.parameters()):
            return module
    message = (
        f"training.layer_decay needs a base whose layers are one list, and those of {type(transformer).__name__} cannot be found "
        "(they may share their weights); nothing was trained. Remove the key, or choose another base_model"
    )
    raise UserError(message)


def _until(transformer: PreTrainedModel, last: nn.Parameter) -> Iterator[nn.Parameter]:
    """Yield the weights that a transformer registers before a certain one."""
    for weights in transformer.parameters():
        if weights is last:
            return
        yield weights
