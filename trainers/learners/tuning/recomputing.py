"""Gradient checkpointing: what a layer gave is computed once more when its gradient is due, instead of being kept until then.

After Chen and others, "Training Deep Nets with Sublinear Memory Cost" (arXiv 1604.06174). The gradients are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import PreTrainedModel

from config.errors import UserError


@contextmanager
def recomputed(transformer: PreTrainedModel, *, wanted: bool) -> Iterator[None]:
    """Let the layers of a transformer keep their inputs alone while the context lasts, where that is `wanted`.

    Raises `UserError` where the architecture cannot do it.
    """
    if not wanted:
        yield
        return
    if not transformer.supports_gradient_checkpointing:
        message = (
            f"training.gradient_checkpointing: {type(transformer).__name__} cannot do it; nothing was trained. Remove "
            "the key, or choose another base_model"
        )
        raise UserError(message)
    transformer.activation_checkpointing_enable()
    try:
        yield
    finally:
        transformer.activation_checkpointing_disable()  # type: ignore[no-untyped-call]  # the library leaves it without types
        transformer.disable_input_require_grads()  # type: ignore[no-untyped-call]  # same
