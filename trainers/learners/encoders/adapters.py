"""Low-rank adapters (LoRA): large bases are tuned by few weights, which are added to the base's own before it is saved.

Serving needs nothing of it. After Hu and others, "LoRA: Low-Rank Adaptation of Large Language Models" (ICLR 2022).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from config.errors import UserError
from perennial_artifact.sentence.encoder import Pooled

_SCALE = 2
"""What an adapter adds is multiplied by this, whatever its rank."""


@contextmanager
def adapted(pooled: Pooled, rank: int | None) -> Iterator[None]:
    """Let the transformer be tuned by adapters of a rank while the context lasts; None: by all its weights.

    Raises `UserError` where the library is not installed.
    """
    if rank is None:
        yield
        return
    try:
        from peft import LoraConfig, get_peft_model  # noqa: PLC0415 - an extra
    except ImportError as error:
        message = "training.lora_rank needs the library peft; install perennial[lora], or remove the key"
        raise UserError(message) from error
    base: Any = pooled.transformer
    options = LoraConfig(r=rank, lora_alpha=_SCALE * rank, lora_dropout=0.0, target_modules="all-linear")
    model: Any = get_peft_model(base, options)
    try:
        # The adapters stand inside the base's own layers, so it is called as before.
        yield
    finally:
        pooled.transformer = model.merge_and_unload()
        pooled.transformer.requires_grad_(requires_grad=True)
