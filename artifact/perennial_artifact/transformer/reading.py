"""What a model with a longest input reads of a text, and whether that is all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

LONGEST_TOKEN_CHARS = 64
"""A text is cut to this many characters per token before tokenising, so that a megabyte of text costs no more than a page."""


def read(tokenizer: Any, texts: Sequence[str]) -> tuple[list[list[int]], list[bool]]:  # noqa: ANN401 - naming its class brings torch
    """Return the token ids of every text, special tokens included, cut to the tokenizer's length, and whether it was cut."""
    if not texts:
        return [], []
    most_tokens: int = tokenizer.model_max_length
    longest_chars = most_tokens * LONGEST_TOKEN_CHARS
    found = tokenizer([text[:longest_chars] for text in texts], truncation=True)
    ids: list[list[int]] = found["input_ids"]
    if found.encodings is None:
        # A tokenizer written in Python does not report what it left out; one that fills the length may have left out something.
        over = [
            len(one) >= most_tokens and len(tokenizer(text[:longest_chars], truncation=False)["input_ids"]) > most_tokens
            for one, text in zip(ids, texts, strict=True)
        ]
    else:
        over = [bool(one.overflowing) for one in found.encodings]
    # Tokenizers of decoders add no special token, and make nothing of an empty text.
    ids = [one or [tokenizer.pad_token_id or 0] for one in ids]
    return ids, [cut or bool(text[longest_chars:].strip()) for cut, text in zip(over, texts, strict=True)]


def by_length(lengths: Sequence[int], rows_per_batch: int) -> Iterator[list[int]]:
    """Yield the indices of `lengths` from short to long in batches, so that little of a batch is padding."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for start in range(0, len(order), rows_per_batch):
        yield order[start : start + rows_per_batch]
