"""From a value of a file to entity spans: every shape that tools write, checked against the text that they lie on."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from consumers.formats.rows import Findings, Unreadable
from consumers.formats.values import blank, missing, read_label, read_whole, shown, unpacked

Nesting = Literal["outermost", "innermost", "refuse"]
_EXPECTED = 'spans are expected as a list of {"start": 0, "end": 5, "label": "ORG"} or [0, 5, "ORG"]'
_START = ("start", "start_offset")
_END = ("end", "end_offset")
_UNITS = (
    ("utf-32-le", 4, False, "code points"),
    ("utf-16-le", 2, False, "UTF-16 units"),
    ("utf-8", 1, False, "bytes of UTF-8"),
    ("utf-32-le", 4, True, "a line end of two characters as one"),
    ("utf-16-le", 2, True, "UTF-16 units, and a line end of two characters as one"),
)
"""What tools count: encoding, bytes a unit, whether CR LF counts once (as browsers have it), in words. Code points come first."""
_LABEL = ("label", "labels", "entity_group", "entity", "type")


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    end: int
    label: str
    text: str | None
    layer: int = 0
    """Spans of a later layer lie inside those of earlier ones, where they cover the same."""

    def holds(self, other: _Span) -> bool:
        return self.start <= other.start and other.end <= self.end

    def same(self, other: _Span) -> bool:
        return (self.start, self.end, self.label) == (other.start, other.end, other.label)

    def meets(self, other: _Span) -> bool:
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True)
class SpanReader:
    """Reads the spans of one row after the other, and notes what it changes."""

    names: Mapping[str, str]
    """Label in the file -> label here; the empty text leaves the span out."""
    nesting: Nesting
    findings: Findings
    shown: set[frozenset[int]] = field(default_factory=set)
    """What offsets may count by rows whose spans have texts of their own: of each such row, which of `_UNITS`."""

    def look_at(self, value: object, text: str) -> None:
        """Note what the offsets of a row may count. Raises ValueError where its spans cannot be read."""
        if text.isascii() and "\r" not in text:
            return  # all units are the same
        spans = [_span(one, self.names) for one in entries(value)]
        if any(span.text is not None for span in spans):
            fitting = frozenset(unit for unit in range(len(_UNITS)) if _laid(spans, text, unit) is not None)
            self.shown.update({fitting} if fitting else ())

    def _units(self) -> frozenset[int]:
        """Return what offsets without texts may count: what all rows with texts allow, code points if these do."""
        common = frozenset(range(len(_UNITS))).intersection(*self.shown)
        return frozenset({0}) if 0 in common else common or frozenset().union(*self.shown)

    def read(self, value: object, text: str, line: int) -> list[dict[str, Any]]:
        """Return spans as events carry them, in order. Raises ValueError saying what is wrong and what is expected."""
        spans = _in_code_points(
            [_span(one, self.names) for one in entries(value)], text, self._units(), lambda what: self.findings.add(what, line)
        )
        spans = [self._on_words(span, text, line) for span in spans if span.label]
        kept = self._apart([span for span in spans if span.end > span.start], line)
        return [{"start": span.start, "end": span.end, "label": span.label} for span in kept]

    def _on_words(self, span: _Span, text: str, line: int) -> _Span:
        """Return the span without outer white space; an empty one when there is nothing else."""
        covered = text[span.start : span.end]
        if blank(covered):
            self.findings.add("unusable spans of white space only, left out", line)
            return replace(span, end=span.start)
        first, after = _outer(covered), _outer(covered[::-1])
        if not first and not after:
            return span
        self.findings.add("spans with outer white space, which was cut off", line)
        return replace(span, start=span.start + first, end=span.end - after)

    def _apart(self, spans: Sequence[_Span], line: int) -> list[_Span]:
        """Return spans of which no two meet: of nested ones the outermost, or as was asked for."""
        kept: list[_Span] = []
        # The longer first where two begin together: what was kept last is then the one that can hold the next.
        for span in sorted(spans, key=lambda one: (one.start, -one.end, one.layer)):
            last = kept[-1] if kept else None
            if last is None or not last.meets(span):
                kept.append(span)
            elif (last.start, last.end, last.layer) == (span.start, span.end, span.layer) or last.same(span):
                if last.label != span.label:
                    message = f"span {span.start}-{span.end} has two labels, {last.label!r} and {span.label!r}; keep one of them"
                    raise ValueError(message)
                self.findings.add("spans given twice, taken once", line)
            elif not last.holds(span):
                raise ValueError(_meeting("overlap", last, span, "keep one of them"))
            elif self.nesting == "refuse":
                raise ValueError(_meeting("are nested", last, span, "keep one of them, or leave out --nested refuse"))
            elif self.nesting == "innermost":
                kept[-1] = span
                self.findings.add("nested spans, of which the innermost are kept", line)
            else:
                self.findings.add("nested spans, of which the outermost are kept", line)
        return kept


def entries(value: object) -> list[Any]:
    """Return the list of spans, out of JSON text and out of spaCy's `{"entities": [...]}`. Nothing there is no list."""
    if isinstance(value, Unreadable):
        raise ValueError(value.reason)  # noqa: TRY004 - one error type for whatever a file may hold
    if missing(value):
        message = "the spans have no value; an empty list says that the text has no entity"
        raise ValueError(message)
    value = unpacked(value)
    if isinstance(value, dict) and "entities" in value:
        value = value["entities"]
    if not isinstance(value, list | tuple):
        message = f"{_EXPECTED}; there is {shown(value)}"
        raise ValueError(message)  # noqa: TRY004 - one error type for whatever a file may hold
    return list(value)


def span_like(value: object) -> bool:
    """Return whether a value has the shape of one span."""
    if isinstance(value, dict):
        return all(any(name in value for name in names) for names in (_START, _END, _LABEL))
    return isinstance(value, list | tuple) and len(value) == 3 and not isinstance(value[0], str | list | dict)  # noqa: PLR2004


def _span(value: object, names: Mapping[str, str]) -> _Span:
    if not span_like(value):
        message = f"{_EXPECTED}; there is {shown(value)}"
        raise ValueError(message)
    if isinstance(value, dict):
        start, end, label = (next(value[name] for name in choices if name in value) for choices in (_START, _END, _LABEL))
        text, layer = value.get("text"), value.get("layer")
    else:
        start, end, label = value  # type: ignore[misc]  # span_like has counted them
        text = layer = None
    try:
        first, after = read_whole(start), read_whole(end)
    except ValueError as error:
        message = f"an offset of span {shown(value)} cannot be read: {error}"
        raise ValueError(message) from None
    try:
        read = read_label(label, names)
    except ValueError as error:
        message = f"span {first}-{after}: {error}"
        raise ValueError(message) from None
    return _Span(first, after, read, text if isinstance(text, str) else None, layer if isinstance(layer, int) else 0)


def _in_code_points(spans: list[_Span], text: str, units: frozenset[int], note: Callable[[str], None]) -> list[_Span]:
    """Return the spans with offsets in code points, converted where texts show that something else was counted.

    These are their own; of spans without texts, those of the file's other rows say which `units` there may be.
    """
    problem = next((said for span in spans if (said := _misplaced(span, text))), None)
    own = any(span.text is not None for span in spans)
    if (own or units == {0}) and problem is None:
        return spans
    tried = range(len(_UNITS)) if own else sorted(units)
    laid = {unit: moved for unit in tried if (moved := _laid(spans, text, unit)) is not None}
    if laid and (own or all(moved == next(iter(laid.values())) for moved in laid.values())):
        unit, moved = next(iter(laid.items()))
        if moved != spans:
            note(f"rows whose offsets count {_UNITS[unit][-1]}, converted to code points")
        return moved
    raise ValueError(problem or _unclear(laid))


def _unclear(units: Collection[int]) -> str:
    counted = " or ".join(_UNITS[unit][-1] for unit in units)
    return f"offsets of this file do not count code points everywhere; here they may count {counted}; add the text of each span"


def _laid(spans: list[_Span], text: str, unit: int) -> list[_Span] | None:
    """Return spans with offsets in code points where theirs count `unit`; None where they then do not fit the text."""
    encoding, width, line_ends, _ = _UNITS[unit]
    positions = _positions(text, encoding, width, line_ends=line_ends)
    if not all(span.start in positions and span.end in positions for span in spans):
        return None
    moved = [replace(span, start=positions[span.start], end=positions[span.end]) for span in spans]
    return None if any(_misplaced(span, text) for span in moved) else moved


def _misplaced(span: _Span, text: str) -> str | None:
    """Return what is wrong with where a span lies, in words."""
    if span.start < 0 or span.end <= span.start:
        return (
            f"span {span.start}-{span.end} ({span.label}) is empty or negative; offsets count code points from 0, end exclusive"
        )
    if span.end > len(text):
        return f"span {span.start}-{span.end} ({span.label}) ends outside the text, which has {len(text)} code points"
    covered = text[span.start : span.end]
    if span.text is None or " ".join(covered.split()) == " ".join(span.text.replace("\\n", " ").split()):
        return None
    return (
        f"span {span.start}-{span.end} ({span.label}) is said to be {span.text[:60]!r}, but {covered[:60]!r} stands there; "
        "offsets count code points from 0, end exclusive"
    )


def _outer(covered: str) -> int:
    """Return how many characters at the beginning show nothing."""
    return next(index for index, one in enumerate(covered) if not one.isspace() and unicodedata.category(one) not in {"Cc", "Cf"})


def _positions(text: str, encoding: str, width: int, *, line_ends: bool) -> dict[int, int]:
    """Return offset in units of an encoding -> offset in code points, for every place between two characters.

    `line_ends`: whether CR LF counts as one character.
    """
    positions, units = {0: 0}, 0
    for index, character in enumerate(text, start=1):
        if line_ends and character == "\r" and text[index : index + 1] == "\n":
            positions[units] = index
            continue
        units += len(character.encode(encoding, "surrogatepass")) // width
        positions[units] = index
    return positions


def _meeting(how: str, left: _Span, right: _Span, remedy: str) -> str:
    return f"spans {left.start}-{left.end} ({left.label}) and {right.start}-{right.end} ({right.label}) {how}; {remedy}"
