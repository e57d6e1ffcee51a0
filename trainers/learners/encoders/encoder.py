"""What transformer tasks are tuned from: a base model, or a champion's encoder, with the head that is tuned along with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedTokenizerBase

from config.errors import UserError
from perennial_artifact.compute import Compute
from perennial_artifact.description import describe
from perennial_artifact.errors import UnusableError
from perennial_artifact.sentence.encoder import Pooled, SentenceEncoder, open_pooled
from perennial_artifact.sentence.layout import MODULES_FILE, ON_ENCODER, POOLINGS, Module, read_pooling, sentence_modules
from perennial_artifact.transformer import reading
from perennial_artifact.transformer.encoder import UNREADABLE, padded
from trainers.learners.encoders.bases import (
    BASE_TOKENS_KEY,
    NOT_READ,
    filled_alike,
    fitted,
    is_decoder,
    refuse_adapter,
    source_of,
    unloadable,
    without_dropout,
)


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """An encoder to tune or to ask, with its tokenizer."""

    pooled: Pooled
    tokenizer: PreTrainedTokenizerBase
    max_tokens: int
    exported: SentenceEncoder | None = None
    """The variant that is served in the place of the weights; None: these are."""

    def read(self, texts: Sequence[str]) -> tuple[list[list[int]], list[bool]]:
        """Return the token ids of every text, cut to `max_tokens`, and of each whether it was cut."""
        return reading.read(self.tokenizer, texts)

    def pad(self, rows: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """Return `input_ids` and `attention_mask`, both int64 of shape (rows, longest row)."""
        return padded(rows, self.tokenizer.pad_token_id)

    def as_served(self, compute: Compute) -> SentenceEncoder:
        """Return what serving makes of it: its variant, else the modules, which move there and compute in its precision."""
        if self.exported is not None:
            return self.exported
        return SentenceEncoder.of_weights(self.pooled, self.tokenizer, compute, max_tokens=self.max_tokens)


@dataclass(frozen=True, slots=True)
class Scored:
    """What a `Tuned` gives; torch looks into a dataclass where several processes tune together."""

    logits: Tensor
    """Shape (rows, labels)."""


class Tuned(nn.Module):
    """An encoder and a linear head on its features, trained together."""

    def __init__(self, pooled: Pooled, labels: int, features: int) -> None:
        super().__init__()
        self.pooled = pooled
        self.head = nn.Linear(features, labels)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_further: object) -> Scored:
        """Return `logits`, shape (rows, labels). Further arguments make the Trainer count the rows of a step; none is used."""
        return Scored(self.head(self.pooled(input_ids, attention_mask)))


def open_base(name: str, *, max_tokens: int) -> TextEncoder:
    """Return a base model: `minilm`, a Hugging Face id or a path. Raises `UserError` when it cannot be had.

    It is pooled as sentence-transformers would where it says how, else by the mean over its tokens, or of a decoder, whose last
    token alone has read all of the text, by that; features have length 1.
    """
    source = source_of(name)
    refuse_adapter(name)
    try:
        config = without_dropout(AutoConfig.from_pretrained(source))
        tokenizer = AutoTokenizer.from_pretrained(source)
        setattr(config, BASE_TOKENS_KEY, tokenizer.model_max_length)
        with filled_alike():
            transformer, loading = AutoModel.from_pretrained(
                source, config=config, dtype=torch.float32, use_safetensors=True, output_loading_info=True
            )
        if absent := sorted(weight for weight in loading["missing_keys"] if NOT_READ not in weight):
            # The library fills what is missing with random numbers and only warns.
            raise _lacks(name, absent)
        modules = sentence_modules(_pooling(Path(source), config.model_type), dimensions=int(config.hidden_size))
        return _joined(Pooled(transformer, modules), tokenizer, max_tokens)
    except UNREADABLE as error:
        raise unloadable(name, error) from error


def _lacks(name: str, weights: Sequence[str]) -> UserError:
    message = (
        f"base_model {name!r} lacks weights: {', '.join(weights[:3])}{' and others' if len(weights) > 3 else ''}; nothing was "  # noqa: PLR2004 - as many as are named
        "trained. Fetch it again, or give another"
    )
    return UserError(message)


def open_champion(folder: Path, *, max_tokens: int) -> TextEncoder:
    """Return the encoder of a published model to go on from; `max_tokens` replaces the length it was made for.

    Of a sequence classifier, which earlier releases published, the transformer is taken and pooled anew. Raises `UnusableError`.
    """
    if describe(folder).format in ON_ENCODER:
        pooled, tokenizer = open_pooled(folder)
        without_dropout(pooled.transformer.config)
        return _joined(pooled, tokenizer, max_tokens)
    try:
        config = without_dropout(AutoConfig.from_pretrained(folder, local_files_only=True))
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
    one = torch.ones((1, 1), dtype=torch.int64, device=pooled.transformer.device)
    with torch.inference_mode():
        return int(pooled(torch.zeros_like(one), one).shape[1])


def _joined(pooled: Pooled, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> TextEncoder:
    return TextEncoder(pooled, tokenizer, fitted(tokenizer, pooled.transformer, max_tokens))


def _pooling(source: Path, architecture: str) -> str:
    """Return how a base says that its tokens are pooled; by its architecture where it does not say, or it is not known here."""
    try:
        modules: list[Module] = [read_pooling(source)] if (source / MODULES_FILE).is_file() else []
    except UnusableError:
        modules = []
    usual = "last" if is_decoder(architecture) else "mean"
    pooling = modules[0].options["pooling"] if modules else usual
    return pooling if pooling in POOLINGS else usual
