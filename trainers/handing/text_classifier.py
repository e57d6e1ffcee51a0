"""A text classifier or regression of Perennial for plain transformers: it needs torch and transformers alone.

A copy of this file lies beside the weights of each model that was exported as `hf`. Transformers runs it after
`trust_remote_code=True`; read it first, it is all there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class TextClassifierConfig(PretrainedConfig):  # type: ignore[no-untyped-call]  # the library leaves it without types
    """What the classifier is made of."""

    model_type = "perennial-text-classifier"

    def __init__(
        self,
        encoder: dict[str, Any] | None = None,
        modules: Sequence[dict[str, Any]] = (),
        features: int = 1,
        ranges: Sequence[Sequence[float]] | None = None,
        **options: Any,  # noqa: ANN401 - the library's
    ) -> None:
        """`encoder` is the transformer's configuration, `modules` what follows it, `features` how many numbers the head reads.

        `ranges` holds the lowest and the highest number of each output of a regression.
        """
        self.encoder = encoder
        self.modules = list(modules)
        self.features = features
        self.ranges = None if ranges is None else [list(one) for one in ranges]
        super().__init__(**options)


class TextClassifier(PreTrainedModel):  # type: ignore[no-untyped-call]  # same
    """A transformer, pooled, what follows, and a linear head."""

    config_class = TextClassifierConfig
    base_model_prefix = "transformer"

    def __init__(self, config: TextClassifierConfig) -> None:
        super().__init__(config)
        encoder = dict(config.encoder or {})
        made = AutoConfig.for_model(encoder.pop("model_type"), **encoder)
        self.transformer = AutoModel.from_config(made)  # type: ignore[no-untyped-call]  # same
        shapes = [one for one in config.modules if one["kind"] == "Dense"]
        self.dense = nn.ModuleList([nn.Linear(one["inputs"], one["outputs"]) for one in shapes])
        self.head = nn.Linear(config.features, int(config.num_labels or 0))
        self.post_init()  # type: ignore[no-untyped-call]  # same

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **_unused: object) -> SequenceClassifierOutput:
        """Return `logits`, shape (rows, labels): of labels before softmax or sigmoid, of a regression the numbers."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        found = self.transformer(input_ids=input_ids, attention_mask=mask).last_hidden_state
        dense = iter(self.dense)
        for module in self.config.modules:
            if module["kind"] == "Pooling":
                found = _pooled(found, mask, module["pooling"])
            elif module["kind"] == "Normalize":
                found = nn.functional.normalize(found, dim=-1)
            else:
                found = getattr(nn, module["activation"])()(next(dense)(found))
        logits = self.head(found.float())
        if self.config.ranges is not None:
            low, high = torch.tensor(self.config.ranges, device=logits.device).T
            logits = logits.clamp(low, high)
        return SequenceClassifierOutput(logits=logits)


def _pooled(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Return one vector a text, shape (rows, features), of its tokens', shape (rows, tokens, features)."""
    if pooling == "cls":
        return states[:, 0]
    if pooling == "last":
        last = mask.shape[1] - 1 - mask.flip(1).argmax(dim=1)
        return states[torch.arange(len(states), device=states.device), last]
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)
