"""CoNLL: a token and its tag per line, sentences apart by blank lines; IOB1, IOB2, IOBES and tags without a prefix."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from consumers.formats.open import ImportFile, is_utf8
from consumers.formats.rows import NOT_UTF8, AnyRow, BadRow, Row

_OUTSIDE = frozenset({"O", "0", "o"})
"""A few sets, SUC-based Swedish ones among them, write a zero."""
_DOCUMENT_START = "-DOCSTART-"
_STARTS = frozenset("BSU")
_ENDS = frozenset("ESLU")
_PREFIXED = re.compile(r"([BIESLU])-(.+)")
_SEPARATOR = re.compile(r"[ \t]+")


@dataclass(frozen=True, slots=True)
class TokenSpan:
    """One entity over tokens: first, one past the last, and its type."""

    first: int
    after: int
    label: str


def read(file: ImportFile) -> Iterator[AnyRow]:
    """Yield one row per sentence: `text` (tokens joined by one space) and `spans` (code-point offsets into it).

    The token is the first column and the tag the last. A sentence with a line that has no tag is a bad row.
    """
    tokens: list[str] = []
    tags: list[str] = []
    start, problem = 1, None
    for number, raw in enumerate(file.text(), start=1):
        line = raw.strip(" \t\r\n")
        if not line or line.startswith(_DOCUMENT_START):
            if tokens or problem:
                yield problem or Row(start, sentence(tokens, tags))
            tokens, tags, problem = [], [], None
            continue
        if not tokens and problem is None:
            start = number
        columns = line.split("\t") if "\t" in line else _SEPARATOR.split(line)
        columns = [column.strip() for column in columns]
        if len(columns) < 2 or not columns[0] or not columns[-1]:  # noqa: PLR2004 - a token and a tag
            problem = problem or BadRow(number, f"no tag behind {line[:60]!r}; its sentence (line {start} on) is left out")
        elif not is_utf8(line):
            problem = problem or BadRow(number, NOT_UTF8)
        else:
            tokens.append(columns[0])
            tags.append(columns[-1])
    if tokens or problem:
        yield problem or Row(start, sentence(tokens, tags))


def sentence(tokens: Sequence[str], tags: Sequence[str]) -> dict[str, object]:
    """Return the columns `text` and `spans` of one tagged sentence."""
    offsets, position = [], 0
    for token in tokens:
        offsets.append((position, position + len(token)))
        position += len(token) + 1
    spans = [
        {"start": offsets[span.first][0], "end": offsets[span.after - 1][1], "label": span.label} for span in decode_tags(tags)
    ]
    return {"text": " ".join(tokens), "spans": spans}


def decode_tags(tags: Sequence[str]) -> list[TokenSpan]:
    """Return the entities that `tags` mark.

    One rule reads all schemes: an entity begins at B, S or U, and wherever the type changes; I and E of the same type go on;
    E, L, S and U end it. Without prefixes, neighbours of one type are one entity, since nothing tells them apart.
    """
    spans: list[TokenSpan] = []
    first, current = 0, None
    for index, tag in enumerate(tags):
        prefix, label = _split(tag)
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


def _split(tag: str) -> tuple[str, str | None]:
    if tag in _OUTSIDE:
        return "", None
    prefixed = _PREFIXED.fullmatch(tag)
    return (prefixed[1], prefixed[2]) if prefixed else ("", tag)
