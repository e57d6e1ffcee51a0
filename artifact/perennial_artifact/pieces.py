"""A text as a library is given it that finds entities: readable, and a long one in pieces."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from perennial_artifact.predictor import Answer

PIECE_CHARS = 10_000
"""Where a version says nothing else."""
SHORT_PIECE_CHARS = 2_500
"""What new versions of spaCy pipelines read in one go: 10,000 characters take a quarter of a second, for which others wait."""
_PORTION_CHARS = 50_000
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def readable(text: str) -> str:
    """Return the text with lone surrogates replaced, which no library can encode; every offset stays valid."""
    return _LONE_SURROGATE.sub("\ufffd", text)


def holds_a_word(text: str) -> bool:
    """Return whether a text has a letter or digit. Where it has none, a transformer may find no piece of a word, and fails."""
    return any(map(str.isalnum, text))


def pieces(text: str, spans: Sequence[Mapping[str, Any]] = (), *, longest: int = PIECE_CHARS) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of parts of a long text, cut where a paragraph, line, sentence or word ends, and not inside `spans`.

    spaCy needs some 2.5 KB of memory per character while it works; parts bound that, and entities do not reach across them.
    """
    start = 0
    while len(text) - start > longest:
        ends = (text.rfind(mark, start + longest // 2, start + longest) + len(mark) for mark in ("\n\n", "\n", ". ", " "))
        end = next((end for end in ends if end > start + longest // 2), start + longest)
        around = next((span for span in spans if span["start"] < end < span["end"]), None)
        if around is not None:
            end = around["start"] if around["start"] > start else around["end"]
        yield start, end
        start = end
    yield start, len(text)


def portions(texts: Sequence[str], *, longest: int = PIECE_CHARS) -> Iterator[list[tuple[int, int, str]]]:
    """Yield (number of the text, offset in it, piece) in portions of bounded size."""
    portion: list[tuple[int, int, str]] = []
    chars = 0
    for at, text in enumerate(texts):
        for start, end in pieces(text, longest=longest):
            portion.append((at, start, text[start:end]))
            chars += end - start
            if chars >= _PORTION_CHARS:
                yield portion
                portion, chars = [], 0
    if portion:
        yield portion


def joined(starts: Sequence[int], answers: Sequence[Answer]) -> Answer:
    """Return the answer to a text, `{"spans": ...}`, from those to its parts, which begin at `starts`."""
    spans = [
        {**span, "start": start + span["start"], "end": start + span["end"]}
        for start, answer in zip(starts, answers, strict=True)
        for span in answer["spans"]
    ]
    return {**answers[0], "spans": spans}


def without_outer_space(text: str, start: int, end: int) -> tuple[int, int]:
    """Return a span without the white space that it begins or ends with; empty when it holds nothing else."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end
