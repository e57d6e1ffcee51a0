"""Tags over tokens: which scheme a file's tags follow, and the entities and the text that tagged tokens make."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_OUTSIDE = frozenset({"O", "0", "o"})
"""A few sets, SUC-based Swedish ones among them, write a zero."""
MISSING = frozenset({"-", "_", "*"})
"""What sets write where nobody said whether the token belongs to an entity."""
_STARTS = frozenset("BSUW")
_ENDS = frozenset("ESLUW")
_LETTERS = frozenset("BIESLUMW")
# In lower case only what no type begins with.
_PREFIXED = re.compile(r"([BIESLUMW]|[bi])[-_:](.+)")
_SUFFIXED = re.compile(r"(.+)[-_:]([BIESLUM])")
_NO_TYPE = re.compile(r"[BIESLUMWbi][-_:]|[-_:][BIESLUM]")
_WORD = re.compile(r"[^\W\d_][^\s]*")
_NUMBER = re.compile(r"-?\d+(?:\.0*)?", re.ASCII)
_MOST_TYPES = 100
_LONGEST_NUMBER = 20
_SHOWN = 5
_PHRASES = frozenset(
    {"NP", "VP", "PP", "ADVP", "ADJP", "SBAR", "PRT", "CONJP", "INTJ", "LST", "UCP", "WHNP", "WHPP", "WHADVP", "NAC", "QP"}
)
"""What a chunk column marks with the same prefixes as entities."""
# Written without spaces between words: Han, kana, Thai, Lao, Khmer, Burmese.
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "IDEOGRAPHIC", "FULLWIDTH")


@dataclass(frozen=True, slots=True)
class TokenSpan:
    """One entity over tokens: first, one past the last, and its type."""

    first: int
    after: int
    label: str


def is_outside(tag: str) -> bool:
    """Return whether a tag says that its token belongs to no entity."""
    return tag in _OUTSIDE


def number_of(tag: str) -> str | None:
    """Return the digits of a tag that is a whole number, in any writing (3, 03, 3.0); None for any other tag."""
    return f"{int(tag.partition('.')[0]):d}" if len(tag) <= _LONGEST_NUMBER and _NUMBER.fullmatch(tag) else None


def named(tag: str, names: Mapping[str, str], *, zero_is_outside: bool = True) -> str | None:
    """Return a tag, one that is a number by its name (`O` where that is empty); None for a number that has none.

    `zero_is_outside`: whether a zero needs no name, as among tags that are words.
    """
    number = number_of(tag)
    if number is None:
        return tag
    name = names.get(tag, names.get(number))
    if name is not None:
        return name or "O"
    return tag if zero_is_outside and is_outside(tag) else None


def is_marked(tag: str) -> bool:
    """Return whether a tag says where in an entity its token stands, as `B-ORG`, `I_ORG` and `ORG-B` do."""
    return bool(_PREFIXED.fullmatch(tag) or _SUFFIXED.fullmatch(tag))


def is_unclear(tag: str) -> bool:
    """Return whether a tag says no type, as `B-` does, or joins several tags, as `B-ORG|B-PER` does."""
    parts = tag.split("|")
    joined = len(parts) > 1 and any(map(is_marked, parts)) and all(is_marked(part) or is_outside(part) for part in parts)
    return joined or _NO_TYPE.fullmatch(tag) is not None


def holds_entities(tags: Collection[str]) -> bool:
    """Return whether these are all the tags of a column of entities: marked or outside or missing, and no phrases."""
    marked = {split(tag)[1] for tag in tags if is_marked(tag) and not is_unclear(tag)}
    return bool(marked) and marked - _PHRASES != set() and all(map(_taglike, tags))


def holds_plain_types(tags: Collection[str]) -> bool:
    """Return whether these may be the tags of a column of types without prefixes: few different words, one for outside."""
    # Begin and inside without a type, as mentions are marked, are no types.
    if {tag for tag in tags if not is_outside(tag)} <= _LETTERS:
        return all(map(is_outside, tags))
    return len(tags) <= _MOST_TYPES and any(map(is_outside, tags)) and all(_taglike(tag) or _WORD.fullmatch(tag) for tag in tags)


def split(tag: str) -> tuple[str, str | None]:
    """Return where in its entity a tag's token stands (a letter, or nothing) and the entity's type, None outside."""
    if tag in _OUTSIDE:
        return "", None
    if prefixed := _PREFIXED.fullmatch(tag):
        return prefixed[1].upper(), prefixed[2]
    suffixed = _SUFFIXED.fullmatch(tag)
    return (suffixed[2], suffixed[1]) if suffixed else ("", tag)


def scheme_of(tags: Mapping[str, int], *, inside_begins: bool, begins_apart: bool) -> str:
    """Return the name of the scheme that all tags of a file follow.

    `inside_begins`: whether some entity begins with I; `begins_apart`: whether some B stands where an I would have begun too.
    """
    letters = {split(tag)[0] for tag in tags if not is_outside(tag)} - {""}
    if not letters:
        return "types without prefixes"
    bare = sorted(tag for tag in tags if not is_outside(tag) and tag not in MISSING and not split(tag)[0])
    without = f"; without a prefix: {', '.join(map(repr, bare[:_SHOWN]))}{', ...' if len(bare) > _SHOWN else ''}" if bare else ""
    return f"{_prefixes(letters, inside_begins=inside_begins, begins_apart=begins_apart)}{without}"


def _prefixes(letters: Collection[str], *, inside_begins: bool, begins_apart: bool) -> str:
    for marks, name in (("W", "BMEWO"), ("M", "BMES"), ("LU", "BILOU"), ("ES", "BIOES")):
        if any(mark in letters for mark in marks):
            return name
    if not inside_begins:
        return "IOB2"
    return "IOB1 and IOB2 mixed" if begins_apart else "IOB1"


def begins(tags: Sequence[str]) -> tuple[bool, bool]:
    """Return whether an entity of this sentence begins with I, and whether a B stands where an I would have begun one too."""
    inside_begins = begins_apart = False
    previous: str | None = None
    for tag in tags:
        letter, label = split(tag)
        if label is not None and label != previous:
            inside_begins |= letter == "I"
            begins_apart |= letter == "B"
        previous = label
    return inside_begins, begins_apart


def decode_tags(tags: Sequence[str]) -> list[TokenSpan]:
    """Return the entities that `tags` mark.

    One rule reads all schemes: an entity begins at B, S or U, and wherever the type changes; I, M and E of the same type extend;
    E, L, S and U end it. Without prefixes, neighbours of one type are one entity, since nothing tells them apart.
    """
    spans: list[TokenSpan] = []
    first, current = 0, None
    for index, tag in enumerate(tags):
        prefix, label = split(tag)
        if current is not None and (label != current or prefix in _STARTS):
            spans.append(TokenSpan(first, index, current))
            current = None
        if current is None and label is not None:
            first, current = index, label
        if current is not None and prefix in _ENDS:
            spans.append(TokenSpan(first, index + 1, current))
            current = None
    if current is not None:
        spans.append(TokenSpan(first, len(tags), current))
    return spans


def sentence(tokens: Sequence[str], layers: Sequence[Sequence[str]], written: object = None) -> dict[str, Any]:
    """Return the columns `text` and `spans` of one tagged sentence; each layer has a tag for every token.

    The text is the one that was `written`, where the tokens are found in it one behind the other with only white space between.
    Without one, tokens are joined by one space, but for scripts that write none between words.
    """
    found = _places(tokens, written) if isinstance(written, str) else None
    text, offsets = (str(written), found) if found is not None else _joined(tokens)
    spans = [
        {"start": offsets[span.first][0], "end": offsets[span.after - 1][1], "label": span.label}
        | ({"layer": layer} if layer else {})
        for layer, tags in enumerate(layers)
        for span in decode_tags(tags)
    ]
    return {"text": text, "spans": spans}


def _places(tokens: Sequence[str], text: str) -> list[tuple[int, int]] | None:
    """Return where each token stands in the text, None when they do not make it up."""
    offsets, position = [], 0
    for token in tokens:
        while position < len(text) and text[position].isspace() and not text.startswith(token, position):
            position += 1
        if not text.startswith(token, position):
            return None
        offsets.append((position, position + len(token)))
        position += len(token)
    return offsets if not text[position:].strip() else None


def _joined(tokens: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    offsets, position, text = [], 0, []
    for index, token in enumerate(tokens):
        if index and not (unspaced(tokens[index - 1][-1:]) and unspaced(token[:1])):
            text.append(" ")
            position += 1
        offsets.append((position, position + len(token)))
        position += len(token)
        text.append(token)
    return "".join(text), offsets


def _taglike(tag: str) -> bool:
    return is_outside(tag) or is_marked(tag) or tag in MISSING or is_unclear(tag)


def unspaced(character: str) -> bool:
    """Return whether a character's script writes no spaces between words."""
    return not character.isascii() and unicodedata.name(character, "").startswith(_UNSPACED)
