"""A text as a token classifier reads it: words, and windows of tokens that overlap where the text is longer than one.

A word is what gets a tag. Tokenizers disagree on what it is (some leave the full stop on it), so it is told by the text: a
token goes on with the word before it where both touch in letters or digits. Where a script writes no spaces, each token is one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from perennial_artifact.errors import UnusableError
from perennial_artifact.pieces import readable

_OVERLAP_SHARE = 4
"""A window shares the fourth part of its tokens with the next: each token has an eighth of a window on both sides."""
# Thai to Tibetan, Burmese, Khmer; kana; Chinese characters and their extensions.
_UNSPACED = re.compile("[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


@dataclass(frozen=True, slots=True)
class Reading:
    """One text, read."""

    windows: tuple[list[int], ...]
    """Token ids of each window, special ones included."""
    words: tuple[tuple[int, int], ...]
    """Start and end of each word in code points, in order; between them is nothing that can be an entity."""
    places: tuple[tuple[int, int], ...]
    """Of each word the window that reads its first token best, and the token's place there."""


def has_offsets(tokenizer: Any) -> bool:  # noqa: ANN401 - naming its class brings torch
    """Return whether a tokenizer tells where in the text its tokens stand; one written in Python does not."""
    return bool(tokenizer.is_fast)


def longest_window(tokenizer: Any, max_tokens: int) -> int:  # noqa: ANN401 - as above
    """Return `max_tokens`. Raises `UnusableError` when special tokens alone fill a window of that length."""
    special = tokenizer.num_special_tokens_to_add()
    if max_tokens <= special:
        message = f"a window of {max_tokens} tokens holds no word: {special} of them are special ones"
        raise UnusableError(message)
    return max_tokens


def read(tokenizer: Any, texts: Sequence[str], *, max_tokens: int) -> list[Reading]:  # noqa: ANN401 - as above
    """Return each text read in windows of at most `max_tokens` tokens."""
    if not texts:
        return []
    room = max_tokens - tokenizer.num_special_tokens_to_add()
    overlap = room // _OVERLAP_SHARE
    found = tokenizer(
        [readable(text) for text in texts],
        truncation=True,
        max_length=max_tokens,
        stride=overlap,
        return_overflowing_tokens=True,
    )
    windows: list[list[Any]] = [[] for _text in texts]
    for window, text in zip(found.encodings, found["overflow_to_sample_mapping"], strict=True):
        windows[text].append(window)
    return [_read(text, own, overlap) for text, own in zip(texts, windows, strict=True)]


def _read(text: str, windows: Sequence[Any], overlap: int) -> Reading:
    words: list[tuple[int, int]] = []
    places: list[tuple[int, int]] = []
    for place, start, end in _tokens(windows, overlap):
        start, end = _without_space(text, start, end)  # noqa: PLW2901 - a tokenizer may count the space before a word to it
        if start >= end:
            continue
        if words and _goes_on(text, words[-1][1], start):
            words[-1] = (words[-1][0], max(end, words[-1][1]))
        else:
            words.append((start, end))
            places.append(place)
    return Reading(tuple(list(window.ids) for window in windows), tuple(words), tuple(places))


def _tokens(windows: Sequence[Any], overlap: int) -> Iterator[tuple[tuple[int, int], int, int]]:
    """Yield (window, place in it), start and end of each token of a text once: from the window in which it is most central."""
    for number, window in enumerate(windows):
        inside = [at for at, special in enumerate(window.special_tokens_mask) if not special]
        # What two windows share is divided in the middle.
        first = overlap // 2 if number else 0
        after = len(inside) - (overlap - overlap // 2 if number + 1 < len(windows) else 0)
        offsets = window.offsets
        for at in inside[first:after]:
            yield (number, at), *offsets[at]


def _without_space(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def _goes_on(text: str, end: int, start: int) -> bool:
    """Return whether a token that begins at `start` belongs to the word that ends at `end`."""
    if start != end:
        # Several tokens may stand for the bytes of one character.
        return start < end
    before, here = text[start - 1], text[start]
    if unicodedata.category(here).startswith("M"):
        return True
    return _is_letter(before) and _is_letter(here) and not _UNSPACED.match(before) and not _UNSPACED.match(here)


def _is_letter(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character).startswith("M")
