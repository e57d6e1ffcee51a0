"""The outline of a text: its first words as small numbers, classified as names, numbers and other words; pure.

Two fillings of one template ("Brno, 2 rooms, 54 m2, 9,900 a month") are near copies to a sentence encoder, and yet different
stories: all that differs is names and numbers. Reports of one event differ in other words as well.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import regex

Outline = tuple[int, ...]
"""One number per word: its hash above two bits that say what it is."""

READ_WORDS = 64
_READ_CHARS = 1_000
_OTHER, _NAME, _NUMBER, _EITHER = range(4)
"""`_EITHER`: a word of a script without capitals may be a name."""
_TOKEN = regex.compile(r"[\p{L}\p{M}\p{N}]+(?:[.,:'’\-][\p{L}\p{M}\p{N}]+)*")
_HAS_DIGIT = regex.compile(r"\p{N}")
_CAPITAL = regex.compile(r"[\p{Lu}\p{Lt}]")
_CASED = regex.compile(r"[\p{Lu}\p{Ll}\p{Lt}]")

_LEAST_SHARED = 0.25
"""Share of a template's words that its slots leave."""
_MOST_OTHER = 0.2
"""Share of the differing words that may be neither names nor numbers (`up`, `down`)."""
_MANY_NUMBERS = 3


def outline(text: str) -> Outline:
    """Return the outline of the first words of `text`."""
    found = _TOKEN.findall(text[:_READ_CHARS])[:READ_WORDS]
    return tuple(_hashed(word) << 2 | _kind(word) for word in found)


def fills_the_same_template(one: Sequence[int], other: Sequence[int]) -> bool:
    """Return whether two texts say the same but for other names and other numbers, or but for a row of other numbers.

    A text whose figures alone were brought up to date, or whose names alone, is a newer version of the same report.
    """
    left, right = Counter(one), Counter(other)
    shared = (left & right).total()
    if shared < _LEAST_SHARED * max(left.total(), right.total()):
        return False
    only_left, only_right = left - right, right - left
    names, numbers = (min(_count(only_left, kinds), _count(only_right, kinds)) for kinds in ((_NAME, _EITHER), (_NUMBER,)))
    differing = only_left.total() + only_right.total()
    others = _count(only_left, (_OTHER,)) + _count(only_right, (_OTHER,))
    if others > _MOST_OTHER * differing:
        return False
    shared_numbers = _count(left & right, (_NUMBER,))
    return (names > 0 and numbers > 0) or (numbers >= _MANY_NUMBERS and shared_numbers < numbers)


def _count(words: Counter[int], kinds: Sequence[int]) -> int:
    return sum(count for word, count in words.items() if word & 3 in kinds)


def _kind(word: str) -> int:
    if _HAS_DIGIT.search(word):
        return _NUMBER
    if _CAPITAL.match(word):
        return _NAME
    return _OTHER if _CASED.search(word) else _EITHER


def _hashed(word: str) -> int:
    # 29 bits and two for the kind: an int32 that is never negative. Chance takes two of 64 words for one in 1 of 250,000 texts.
    return int.from_bytes(hashlib.blake2b(word.casefold().encode("utf-8", "surrogatepass"), digest_size=4).digest()) >> 3
