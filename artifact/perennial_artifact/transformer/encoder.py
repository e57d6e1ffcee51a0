"""A sequence classifier with its tokenizer, from a stock Hugging Face folder (safetensors, config, tokenizer)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from perennial_artifact.errors import UnusableError
from perennial_artifact.transformer import adapter as adapters
from perennial_artifact.transformer import reading
from perennial_artifact.variants.graph import filled

UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, SafetensorError)
"""What the libraries raise for a folder that is damaged, or of a shape they do not know."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """A sequence classifier with its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    def read(self, texts: Sequence[str]) -> tuple[list[list[int]], list[bool]]:
        """Return the token ids of every text, cut to the length the model was made for, and of each text whether it was cut."""
        return reading.read(self.tokenizer, texts)

    def pad(self, rows: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
        """Return `input_ids` and `attention_mask`, both int64 of shape (rows, longest row)."""
        return padded(rows, self.tokenizer.pad_token_id)


def open_saved(folder: Path) -> Encoder:
    """Return the model in a published folder, every weight from the file. Raises `UnusableError` when it lacks any."""
    return joined(*load(AutoModelForSequenceClassification, folder))


def load(kind: Any, folder: Path, *, unused: str | None = None) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:  # noqa: ANN401 - one of the library's Auto classes
    """Return the model and the tokenizer in a published folder, in fp32, every weight from the files, an adapter added to them.

    Weights whose names hold `unused` may be absent. Raises `UnusableError` when others are, the folder cannot be read, or its
    adapter is one of another base.
    """
    adapter = adapters.Adapter.read(folder)
    source, options, above = folder, {}, {}
    try:
        if adapter is not None:
            source = adapter.foundation
            options["config"] = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model, loading = kind.from_pretrained(
            source, dtype=torch.float32, use_safetensors=True, local_files_only=True, trust_remote_code=False,
            output_loading_info=True, **options,
        )  # fmt: skip
        tokenizer = _tokenizer(folder)
        if adapter is not None and model.base_model is not model:
            above = load_file(folder / adapters.ABOVE_FILE)
            model.load_state_dict(above, strict=False)
    except UNREADABLE as error:
        message = f"the model in {folder} cannot be read ({error})"
        raise UnusableError(message) from error
    given = set(loading["missing_keys"]).difference(above)
    if absent := sorted(name for name in given if unused is None or unused not in name):
        # The library fills what is missing with random numbers and only warns.
        message = f"the model in {folder} lacks {', '.join(absent[:3])}"
        raise UnusableError(message)
    if adapter is not None:
        adapter.add_to(model)
        adapters.note(model, adapter)
    return model, tokenizer


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer in a published folder. Raises `UnusableError` when it cannot be read."""
    try:
        return _tokenizer(folder)
    except UNREADABLE as error:
        message = f"the tokenizer in {folder} cannot be read ({error})"
        raise UnusableError(message) from error


def joined(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Encoder:
    """Bring model and tokenizer to agree on padding."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    return Encoder(model, tokenizer)


def padded(rows: Sequence[Sequence[int]], fill: int) -> dict[str, torch.Tensor]:
    """Return `input_ids`, filled up with `fill`, and `attention_mask`, both int64 of shape (rows, longest row)."""
    ids, mask = filled(rows, fill)
    return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}


def _tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return found
