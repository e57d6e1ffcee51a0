"""Forms in which a person says what is right of a text: what their fields hold, and the line that says the same at a terminal.

A kind names one of these forms; pages and commands know the forms and no kind. All fields are lists of texts, as forms send
them. What does not fit raises `ValueError`, in words for who filled the form in.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Literal

Widget = Literal["one", "several", "spans", "numbers", "signals"]
"""One label; any number of labels; spans with labels; a number for each name; a score and a tag for each name."""
Given = Mapping[str, Sequence[str]]
"""The fields of a form as they were sent."""

LABEL, SPANS = "label", "spans"
NUMBER, SCORE, TAG = "number.", "score.", "tag."
"""Begin the fields of a name."""
NONE = "0"
"""The line that says that a text has no label or no span."""

_MOST_LINES = 1_000
_PLACE = re.compile(r"(\d{1,9})\s*-\s*(\d{1,9})\s+(\S.*)")
_QUOTE = re.compile(r"([^:]+?)(?:#([1-9]\d{0,5}))?\s*:\s*(\S.*)")
_PAIR = re.compile(r"([^=]+?)\s*=\s*(\S+)(?:\s+(\S.*))?")


def one(given: Given) -> str:
    """Return the one label."""
    found = _filled(given, LABEL)
    if len(found) != 1:
        message = "no label is chosen; choose one" if not found else f"{len(found)} labels are chosen; choose one"
        raise ValueError(message)
    return found[0]


def several(given: Given) -> list[str]:
    """Return the labels, each once; none says that the text has none."""
    return sorted(set(_filled(given, LABEL)))


def spans(given: Given, text: str) -> list[dict[str, Any]]:
    """Return the spans in order: `start` and `end` in code points, and `label`. Each stands on a line of its own.

    A line is `12-20 PERSON`, or `PERSON: Angela Merkel` with the words as they stand in the text, the first of them that no
    line above has taken, or with `PERSON#2: Merkel` the second.
    """
    lines = [line.strip() for value in given.get(SPANS, ()) for line in value.splitlines() if line.strip()]
    if len(lines) > _MOST_LINES:
        message = f"there are {len(lines)} spans; give at most {_MOST_LINES}, and send longer texts with `perennial import`"
        raise ValueError(message)
    found: list[tuple[int, int, str]] = []
    for line in lines:
        start, end, label = _place(line, text, found)
        if not 0 <= start < end <= len(text):
            message = f"span {line!r} lies outside the text, which has {len(text)} characters"
            raise ValueError(message)
        if met := _met(found, start, end):
            message = f"span {line!r} overlaps {met[0]}-{met[1]} {met[2]}; spans of one text may not"
            raise ValueError(message)
        insort(found, (start, end, label))
    return [{"start": start, "end": end, "label": label} for start, end, label in found]


def _met(taken: Sequence[tuple[int, int, str]], start: int, end: int) -> tuple[int, int, str] | None:
    """Return which of the spans taken, in order and apart from each other, this one overlaps."""
    at = bisect_left(taken, (start, start, ""))
    return next((one for one in taken[max(at - 1, 0) : at + 1] if one[0] < end and start < one[1]), None)


def numbers(given: Given) -> dict[str, float]:
    """Return the number of each name that has one; at least one has."""
    found = {name: _number(name, value) for name, value in _named(given, NUMBER).items()}
    if not found:
        message = "no number is given; give at least one"
        raise ValueError(message)
    return found


def signals(given: Given) -> dict[str, dict[str, Any]]:
    """Return score and, where it is told, tag of each name that has a score; at least one has."""
    scores, tags = _named(given, SCORE), _named(given, TAG)
    if lonely := sorted(tags.keys() - scores.keys()):
        message = f"{lonely[0]} has a tag and no score; give both"
        raise ValueError(message)
    found = {
        name: {"score": _number(name, value)} | ({"tag": tags[name]} if name in tags else {}) for name, value in scores.items()
    }
    if not found:
        message = "no score is given; give at least one"
        raise ValueError(message)
    return found


def fields_of_line(widget: Widget, line: str, named: Callable[[str], str]) -> dict[str, list[str]]:
    """Return the fields that a line at a terminal fills in; `named` returns the label that a key stands for, or what it got.

    `one`: a key or a label. `several`: such, separated by commas or, of keys, spaces. `spans`: lines as in `spans`, separated by
    semicolons. `numbers`: `name=3, other=4`. `signals`: `name=0.5 tag, other=-1 tag`.
    """
    said = line.strip()
    if widget == "one":
        return {LABEL: [named(said)]}
    if said == NONE and widget in ("several", "spans"):
        return {}
    if widget == "several":
        parts = said.split(",") if "," in said or named(said) != said else said.split()
        known = all(named(part.strip()) != part.strip() for part in parts)
        return {LABEL: [named(part.strip()) for part in (parts if known or "," in said else [said]) if part.strip()]}
    if widget == "spans":
        return {SPANS: [_with_label_named(part.strip(), named) for part in said.split(";") if part.strip()]}
    found: dict[str, list[str]] = {}
    for part in (part.strip() for part in said.split(",") if part.strip()):
        pair = _PAIR.fullmatch(part)
        if pair is None or (pair[3] is not None and widget == "numbers"):
            message = f"{part!r} is not of the form name=3" + (" or name=0.5 tag" if widget == "signals" else "")
            raise ValueError(message)
        found[f"{NUMBER if widget == 'numbers' else SCORE}{pair[1]}"] = [pair[2]]
        if pair[3]:
            found[f"{TAG}{pair[1]}"] = [pair[3]]
    return found


def _with_label_named(part: str, named: Callable[[str], str]) -> str:
    if place := _PLACE.fullmatch(part):
        return f"{place[1]}-{place[2]} {named(place[3])}"
    if quote := _QUOTE.fullmatch(part):
        return f"{named(quote[1].strip())}{'#' + quote[2] if quote[2] else ''}: {quote[3]}"
    return part


def _place(line: str, text: str, taken: Sequence[tuple[int, int, str]]) -> tuple[int, int, str]:
    if place := _PLACE.fullmatch(line):
        return int(place[1]), int(place[2]), place[3]
    quote = _QUOTE.fullmatch(line)
    if quote is None:
        message = f"{line!r} is no span; write 12-20 LABEL, or LABEL: words of the text"
        raise ValueError(message)
    label, nth, words = quote[1].strip(), int(quote[2] or 0), quote[3]
    starts = (found.start() for found in re.finditer(re.escape(words), text))
    fitting = islice(starts, nth - 1, None) if nth else (at for at in starts if _met(taken, at, at + len(words)) is None)
    if (start := next(fitting, None)) is None:
        message = f"{words!r} does not stand in the text" + (f" {nth} times" if nth else " where no other span is")
        raise ValueError(message)
    return start, start + len(words), label


def _filled(given: Given, field: str) -> list[str]:
    return [value.strip() for value in given.get(field, ()) if value.strip()]


def _named(given: Given, prefix: str) -> dict[str, str]:
    return {
        field.removeprefix(prefix): values[-1].strip()
        for field, values in given.items()
        if field.startswith(prefix) and values and values[-1].strip()
    }


def _number(name: str, value: str) -> float:
    try:
        # A comma, as many people write it.
        return float(value.replace(",", ".") if "." not in value else value)
    except ValueError:
        message = f"{name}: {value!r} is not a number"
        raise ValueError(message) from None
