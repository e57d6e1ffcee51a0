"""The token classifier that a run begins with: a champion, or a base model, with a head that has a row for each tag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForTokenClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from config.errors import UserError
from perennial_artifact.errors import UnusableError
from perennial_artifact.tagging import tags
from perennial_artifact.tagging.windows import has_offsets, longest_window
from perennial_artifact.transformer import adapter
from perennial_artifact.transformer.encoder import UNREADABLE, load, padded
from trainers.learners.encoders.bases import BASE_TOKENS_KEY, fitted, refuse_adapter, source_of, unloadable, without_dropout

NEVER = -1e4
"""The bias of a tag that no training row has shown, in published models: plain `transformers` answers it never either."""
_OUTSIDE = "O"


@dataclass(frozen=True, slots=True)
class Tagger:
    """A token classifier with its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    max_tokens: int
    """Tokens of a window, special ones included."""

    @property
    def head(self) -> nn.Linear:
        """The layer that gives each tag its score."""
        found = _head_of(self.model)
        assert found is not None  # noqa: S101 - looked at when it was opened
        return found

    @property
    def tags(self) -> list[str]:
        """The tags by their ids, as the model's configuration names them."""
        config: Any = self.model.config
        return [str(config.id2label[number]) for number in range(config.num_labels)]

    @property
    def types(self) -> tuple[str, ...]:
        """The entity types whose tags it has, in order; none where its head was made for something else, or anew."""
        known = self.tags
        return tuple(dict.fromkeys(name[2:] for name in known if name[:2] == "B-" and f"I-{name[2:]}" in known))

    def pad(self, rows: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """Return `input_ids` and `attention_mask`, both int64 of shape (rows, longest row)."""
        return padded(rows, int(self.tokenizer.pad_token_id))


def open_base(name: str, *, max_tokens: int) -> Tagger:
    """Return a base model: `minilm`, a Hugging Face id or a path. Raises `UserError` when it cannot be had or used."""
    source = source_of(name)
    refuse_adapter(name)
    try:
        config = without_dropout(AutoConfig.from_pretrained(source))
        tokenizer = AutoTokenizer.from_pretrained(source)
        setattr(config, BASE_TOKENS_KEY, tokenizer.model_max_length)
        model, loading = AutoModelForTokenClassification.from_pretrained(
            source, config=config, dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
    except UNREADABLE as error:
        raise unloadable(name, error) from error
    head = _head_of(model)
    if head is None:
        message = f"base_model {name!r}: a token classifier of {type(model).__name__} has no linear head; choose another"
        raise UserError(message)
    if not has_offsets(tokenizer):
        message = (
            f"base_model {name!r} has a tokenizer ({type(tokenizer).__name__}) that does not tell where in a text its tokens "
            "stand, so no entity can be found; nothing was trained. Choose a base with a fast tokenizer (tokenizer.json)"
        )
        raise UserError(message)
    own = {f"{_name_of(model, head)}.{part}" for part in ("weight", "bias")}
    if absent := sorted(set(loading["missing_keys"]) - own):
        # The library fills what is missing with random numbers and only warns.
        message = f"base_model {name!r} lacks weights ({', '.join(absent[:3])}); nothing was trained. Fetch it again"
        raise UserError(message)
    try:
        return _fitted(model, tokenizer, max_tokens)
    except UnusableError as error:
        message = f"base_model {name!r} with training.max_tokens {max_tokens}: {error}; raise max_tokens"
        raise UserError(message) from error


def open_champion(folder: Path, *, max_tokens: int) -> Tagger:
    """Return a published model to go on from; `max_tokens` replaces the window it was made for. Raises `UnusableError`."""
    model, tokenizer = load(AutoModelForTokenClassification, folder)
    without_dropout(model.config)
    return _fitted(model, tokenizer, max_tokens)


def retag(tagger: Tagger, types: Sequence[str], known_as: Mapping[str, str]) -> Tensor:
    """Give the head a row for each tag of `types`, and return which rows it did not have, as booleans of shape (tags).

    A row that it had under the name that `known_as` gives stays as it was; the others are zero.
    """
    before = {name: number for number, name in enumerate(tagger.tags)}
    names = tags.names(types)
    sources: list[int | None] = [before.get(_OUTSIDE)]
    for name in types:
        sources += [before.get(f"{mark}-{known_as[name]}") if name in known_as else None for mark in "BI"]
    had = tagger.head
    if had.bias is not None:
        # A tag that no row had shown when the model was published has learnt nothing.
        sources = [None if source is None or had.bias[source] <= NEVER / 2 else source for source in sources]
    head = nn.Linear(had.in_features, len(names)).to(had.weight.device)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.zero_()
        for row, source in enumerate(sources):
            if source is not None:
                head.weight[row] = had.weight[source]
                # Some architectures have a head without a bias.
                head.bias[row] = had.bias[source] if had.bias is not None else 0.0
    _replace(tagger.model, had, head)
    config: Any = tagger.model.config
    config.id2label = dict(enumerate(names))
    config.label2id = {name: number for number, name in enumerate(names)}
    # As the library does it, which some heads ask for the number.
    setattr(tagger.model, "num_labels", len(names))  # noqa: B010 - the library declares no such attribute
    return torch.tensor([source is None for source in sources])


def save(tagger: Tagger, folder: Path, *, never: Sequence[int]) -> None:
    """Write the model, its tokenizer and its window into `folder`; tags in `never` get a score that no text makes up for.

    What was tuned by an adapter is written as that, beside the weights that it was added to.
    """
    with torch.no_grad():
        tagger.head.weight[list(never)] = 0.0
        tagger.head.bias[list(never)] = NEVER
    adapter.save(tagger.model, folder)
    tagger.tokenizer.model_max_length = tagger.max_tokens
    tagger.tokenizer.save_pretrained(folder)


def _fitted(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> Tagger:
    longest = fitted(tokenizer, model, max_tokens)
    return Tagger(model, tokenizer, longest_window(tokenizer, longest))


def _head_of(model: PreTrainedModel) -> nn.Linear | None:
    """Return the last linear layer outside the body, as wide as there are tags; None where there is none."""
    own = (module for name, module in model.named_modules() if not name.startswith(f"{model.base_model_prefix}."))
    heads = [module for module in own if isinstance(module, nn.Linear) and module.out_features == model.config.num_labels]
    return heads[-1] if heads else None


def _name_of(model: PreTrainedModel, layer: nn.Module) -> str:
    return next(str(name) for name, module in model.named_modules() if module is layer)


def _replace(model: PreTrainedModel, old: nn.Module, new: nn.Module) -> None:
    path, _, attribute = _name_of(model, old).rpartition(".")
    setattr(model.get_submodule(path), attribute, new)
