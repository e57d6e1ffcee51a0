"""Tagged tokens in rows: a list of tokens beside a list of tags (Hugging Face), or a token a row (IOB tables)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from consumers.formats.rows import AnyRow, BadRow, Row, Unreadable
from consumers.formats.tags import MISSING, begins, is_outside, is_unclear, named, number_of, scheme_of, sentence
from consumers.formats.values import missing, read_token, shown, unpacked, whole_or_none


@dataclass(slots=True)
class Tags:
    """Reads tags, and keeps what identifies their scheme."""

    names: Mapping[str, str]
    """What tags given as numbers are called."""
    counts: dict[str, int] = field(default_factory=dict)
    inside_begins: bool = False
    begins_apart: bool = False
    numbers: bool = False
    """Whether a tag other than zero was a number written as text, so that a zero is one too."""

    def read(self, values: list[Any]) -> list[str]:
        """Return the tags of one sentence. Raises ValueError for one that is missing, and for a number without a name."""
        tags = [self._tag(value) for value in values]
        for tag in tags:
            self.counts[tag] = self.counts.get(tag, 0) + 1
        inside, apart = begins(tags)
        self.inside_begins |= inside
        self.begins_apart |= apart
        return tags

    def said(self) -> str:
        """Return the scheme that all tags read so far follow, in words."""
        return f"tags: {scheme_of(self.counts, inside_begins=self.inside_begins, begins_apart=self.begins_apart)}"

    def _tag(self, value: object) -> str:
        if not isinstance(value, str) and (number := whole_or_none(value)) is not None:
            return self._named(f"{number:d}", zero_is_outside=False)
        if missing(value) or not isinstance(value, str):
            message = f"a tag is {shown(value)}; O, B-ORG, I-ORG, ... are expected"
            raise ValueError(message)
        tag = value.strip()
        if number_of(tag) is not None:
            self.numbers |= not is_outside(tag)
            return self._named(tag, zero_is_outside=not self.numbers)
        if tag in MISSING and self.names.get(tag) != "":
            message = f"a tag is {tag!r}, which stands for a missing value; write O outside entities, or give --label-map {tag}="
            raise ValueError(message)
        if is_unclear(tag):
            message = f"the tag {tag!r} has no type, or joins several; write one, such as B-ORG, for each token"
            raise ValueError(message)
        return "O" if tag in MISSING else tag

    def _named(self, tag: str, *, zero_is_outside: bool) -> str:
        name = named(tag, self.names, zero_is_outside=zero_is_outside)
        if name is None:
            message = f"tag {tag} is a number without a name; give --label-map 0=O,1=B-PER,2=I-PER,... or --label-map @FILE"
            raise ValueError(message)
        return name


def from_lists(rows: Iterator[AnyRow], tokens: str, tags: str, reader: Tags) -> Iterator[AnyRow]:
    """Yield rows with `text` and `spans` for rows with a list of tokens and one of tags."""
    for row in rows:
        if not isinstance(row, Row) or not row.values:
            yield row
            continue
        words, marks = unpacked(row.values.get(tokens)), unpacked(row.values.get(tags))
        try:
            yield Row(row.line, {**row.values, **_sentence(words, marks, reader, (tokens, tags), row.values.get("text"))})
        except ValueError as error:
            yield BadRow(row.line, str(error))


def _sentence(
    words: Any,  # noqa: ANN401 - whatever the file holds
    marks: Any,  # noqa: ANN401 - same
    reader: Tags,
    names: tuple[str, str],
    written: object,
) -> dict[str, Any]:
    for name, value in zip(names, (words, marks), strict=True):
        if not isinstance(value, list):
            problem = value.reason if isinstance(value, Unreadable) else f"it is {shown(value)}"
            message = f"{name!r}: {problem}; a list is expected"
            raise ValueError(message)  # noqa: TRY004 - one error type for whatever a file may hold
    if len(words) != len(marks):
        message = f"{len(words)} tokens in {names[0]!r}, but {len(marks)} tags in {names[1]!r}"
        raise ValueError(message)
    return sentence([_token(word) for word in words], [reader.read(marks)], written)


def _token(value: object) -> str:
    token = read_token(value)
    if not token:
        message = "a token is empty"
        raise ValueError(message)
    return token


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of a table with a token a row; `sentence` marks where one begins, without it blank lines do."""

    token: str
    tag: str
    sentence: str | None


def from_table(rows: Iterator[AnyRow], table: Table, reader: Tags) -> Iterator[AnyRow]:
    """Yield one row per sentence, with `text` and `spans`, for rows with one token each. A bad row costs its sentence."""
    for _, group in itertools.groupby(rows, key=_sentence_of(table)):
        members = [row for row in group if not isinstance(row, Row) or row.values]
        broken = next((row for row in members if not isinstance(row, Row)), None)
        found = [row for row in members if isinstance(row, Row)]
        if broken is not None or not found:
            yield from [broken] if broken is not None else []
            continue
        first = found[0]
        try:
            marks = reader.read([row.values.get(table.tag) for row in found])
            words = [_token(row.values.get(table.token)) for row in found]
            yield Row(first.line, {**first.values, **sentence(words, [marks])})
        except ValueError as error:
            yield BadRow(first.line, f"{error}; its sentence (row {first.line} on) is left out")


def _sentence_of(table: Table) -> Callable[[AnyRow], int]:
    """Return a function that gives each row the number of its sentence."""
    count = 0
    current: object = None

    def number(row: AnyRow) -> int:
        nonlocal count, current
        if not isinstance(row, Row):
            return count
        if table.sentence is None:
            count += not row.values
            return count
        value = row.values.get(table.sentence)
        # Some tables name the sentence beside its first token only.
        if not missing(value) and value != current:
            current = value
            count += 1
        return count

    return number
