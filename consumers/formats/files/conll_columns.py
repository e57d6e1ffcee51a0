"""Which columns of a CoNLL file hold tokens and which tags, as the whole file shows."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from config.errors import UserError
from consumers.formats.files.open import ImportFile
from consumers.formats.tags import holds_entities, holds_plain_types, is_marked, is_outside, named, number_of

DOCUMENT_START = "-DOCSTART-"
_SEPARATOR = re.compile(r"[ \t]+")
NEW_DOCUMENT = re.compile(r"#\s*newdoc(?:\s+id\s*=\s*(\S+))?|#\s+(https?://\S+)(?:\s+\[[^\]]*\])?")
_NUMBERED = re.compile(r"(.*?)(\d{1,18})", re.ASCII)
_DIGIT = re.compile(r"\d")
_MOST_TAGS = 2_000
"""A column with more different values holds words, not tags."""
A_TOKEN_AND_A_TAG = 2


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a line, counted from 0, hold what, and what a file's tags are like."""

    token: int
    tags: tuple[int, ...]
    width: int
    """How many columns a line has, where all have as many; else the fewest that are needed."""
    even: bool
    known: frozenset[str]
    """The tags of the first of the columns."""
    documents: bool
    """Whether the file says where documents begin, more than once."""
    indexed: bool = False
    """Whether the first column has indexes; lines such as 1-2 and 1.1 (CoNLL-U) may then hold no word of the text's own."""
    restarts: bool = False
    """Whether no blank line stands in the file, so that a sentence begins where the first column counts from anew."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What tags given as numbers are called."""
    numbers: bool = False
    """Whether tags of the first column are numbers other than zero, so that a zero is one too."""
    said: tuple[str, ...] = ()

    def tag(self, written: str) -> str | None:
        """Return a tag, one that is a number by its name; None for a number that has none."""
        return named(written, self.names, zero_is_outside=not self.numbers)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file, counted from 1, and its columns."""

    number: int
    text: str
    columns: tuple[str, ...]

    @property
    def blank(self) -> bool:
        """Whether it ends a sentence."""
        return not self.text

    @property
    def remark(self) -> bool:
        """Whether it may be a comment: a token may begin with a hash too."""
        return self.text.startswith("#")


@dataclass(slots=True)
class _Seen:
    """What a first reading saw of one column."""

    lines: int = 0
    values: dict[str, int] = field(default_factory=dict)
    lettered: int = 0
    """How many of its values have a letter."""
    words: int = 0
    """How many of these have no digit."""
    pairs: int = 0
    """How many lines followed another one of their sentence."""
    same: int = 0
    """How many of these have the value of the line before."""
    next: int = 0
    """How many of these have the number behind it, as 2 and t2 come behind 1 and t1."""

    def add(self, value: str, before: str | None) -> None:
        self.lines += 1
        if value in self.values or len(self.values) <= _MOST_TAGS:
            self.values[value] = self.values.get(value, 0) + 1
        lettered = any(map(str.isalpha, value))
        self.lettered += lettered
        self.words += lettered and _DIGIT.search(value) is None
        self.pairs += before is not None
        self.same += value == before
        self.next += before is not None and _follows(before, value)

    @property
    def has_words(self) -> bool:
        """Whether most of its values with a letter are words: ids of tokens, sentences and documents have digits too."""
        return 2 * self.words > self.lettered

    @property
    def stays(self) -> bool:
        """Whether it mostly has the same value throughout a sentence, as names of documents and speakers do."""
        return 2 * self.same > self.pairs

    @property
    def counts(self) -> bool:
        """Whether it mostly counts the lines of a sentence, and never has a word."""
        return not self.words and 2 * self.next > self.pairs


def recognise(file: ImportFile, chosen: Sequence[str] | None = None, outside: Mapping[str, str] | None = None) -> Columns:
    """Return which columns hold tokens and tags, as `chosen` (token, tag, ...; counted from 1) says or as the whole file shows.

    Without a choice the token stands in the first column that has words, behind indexes, ids, offsets and names that stay the
    same in a sentence, and the tags in the columns that hold nothing else; several are layers of nested entities. Tags that
    `outside` maps to nothing count as outside. Raises `UserError` where it is not clear which columns are meant.
    """
    seen: list[_Seen] = []
    widths: dict[int, int] = {}
    starts = documents = blanks = 0
    before: Line | None = None
    held_back: list[Line] = []
    for line in lines_of(file):
        if line.blank or line.text.startswith(DOCUMENT_START):
            starts += not line.blank
            blanks += line.blank and before is not None
            before = None
            continue
        if line.remark and before is None:
            # A comment or a token: the columns of the other lines decide.
            documents += NEW_DOCUMENT.fullmatch(line.text) is not None
            held_back.append(line)
            continue
        _note(seen, widths, line, before)
        before = line
    if not seen:
        for line in (one for one in held_back if is_outside(one.columns[-1]) or is_marked(one.columns[-1])):
            _note(seen, widths, line, None)
    known = starts + documents > 1
    width = max(widths, key=lambda columns: widths[columns]) if widths else 0
    if chosen is not None:
        return _chosen(file, chosen, seen, widths, outside, documents=known, blanks=blanks)
    if len(seen) < A_TOKEN_AND_A_TAG:
        return Columns(0, (1,), A_TOKEN_AND_A_TAG, even=False, known=frozenset(), documents=known)
    token = _token_column(file, seen, width, outside or {})
    tags = _tag_columns(file, seen, token, width, outside or {})
    # Nested entities may stand in columns that only some lines have; a line that lacks its only tag is a mistake.
    even = len(tags) == 1 or seen[tags[-1]].lines == seen[token].lines
    said = [f"columns: token {token + 1}, tag {numbered(tags)} of {len(seen)}"]
    return Columns(
        token,
        tags,
        width if even else tags[0] + 1,
        even,
        frozenset(seen[tags[0]].values),
        known,
        indexed=_indexed(seen, token),
        restarts=token > 0 and blanks == 0 and seen[0].counts,
        names=outside or {},
        numbers=_holds_numbers(seen[tags[0]].values),
        said=tuple(said),
    )


def lines_of(file: ImportFile) -> Iterator[Line]:
    """Yield the lines of a file with their columns."""
    for number, raw in enumerate(file.text(), start=1):
        # A no-break space is a token of some sets: only what separates columns and lines is taken off.
        text = raw.strip(" \t\r\n")
        columns = [column.strip(" ") for column in text.split("\t")] if "\t" in text else _SEPARATOR.split(text)
        yield Line(number, text, tuple(columns))


def restarts(before: Line, line: Line) -> bool:
    """Return whether the number at the end of the first column does not go on."""
    one, two = _NUMBERED.fullmatch(before.columns[0]), _NUMBERED.fullmatch(line.columns[0])
    return one is not None and two is not None and int(two[2]) <= int(one[2])


def numbered(columns: Sequence[int]) -> str:
    """Return columns in words, counted from 1."""
    return " and ".join(str(column + 1) for column in columns)


def _note(seen: list[_Seen], widths: dict[int, int], line: Line, before: Line | None) -> None:
    widths[len(line.columns)] = widths.get(len(line.columns), 0) + 1
    while len(seen) < len(line.columns):
        seen.append(_Seen())
    for index, value in enumerate(line.columns):
        seen[index].add(value, before.columns[index] if before is not None and index < len(before.columns) else None)


def _token_column(file: ImportFile, seen: Sequence[_Seen], width: int, outside: Mapping[str, str]) -> int:
    """Return the first column that has words before the tags. Raises `UserError` where there is none."""
    after = [index for index in range(1, len(seen)) if _entities(seen[index], outside)] or [width - 1]
    before = range(after[-1])
    worded = [index for index in before if seen[index].has_words]
    if not worded and after[0] == 1 and not seen[0].counts:
        # A small file may have odd words only.
        return 0
    # Of several that stay, such as repeated words of one sentence, the first is as good as any.
    found = next((index for index in worded if not seen[index].stays and not _entities(seen[index], outside)), None)
    found = worded[0] if found is None and worded else found
    odd = [index for index in before if seen[index].lettered and not seen[index].counts and not seen[index].stays]
    if found is None or (odd and odd[0] < found):
        message = (
            f"{file.path}: it is not clear which column before the tags has the words, and which numbers and ids; name the "
            f"columns of token and tag, counted from 1, e.g. --columns {(found or 0) + 1},{after[-1] + 1}"
        )
        raise UserError(message)
    return found


def _follows(before: str, value: str) -> bool:
    one, two = _NUMBERED.fullmatch(before), _NUMBERED.fullmatch(value)
    return one is not None and two is not None and one[1] == two[1] and int(one[2]) + 1 == int(two[2])


def _tag_columns(file: ImportFile, seen: list[_Seen], token: int, width: int, outside: Mapping[str, str]) -> tuple[int, ...]:
    candidates = tuple(index for index in range(token + 1, len(seen)) if _entities(seen[index], outside))
    last = width - 1
    if candidates and candidates[0] <= last:
        return candidates
    # Types without prefixes, as Swedish sets have them.
    if last > token and holds_plain_types(seen[last].values):
        return (last,)
    message = (
        f"{file.path}: no column has only entity tags (O, B-ORG, I-ORG, ...); name the columns of token and tag, counted from 1, "
        f"e.g. --columns {token + 1},{max(width, 2)}"
    )
    raise UserError(message)


def _entities(seen: _Seen, outside: Mapping[str, str]) -> bool:
    tags = [named(value, outside) for value in seen.values if outside.get(value) != ""]
    return None not in tags and holds_entities([tag for tag in tags if tag is not None])


def _holds_numbers(tags: Collection[str]) -> bool:
    return any(number_of(tag) is not None and not is_outside(tag) for tag in tags)


def _chosen(
    file: ImportFile,
    chosen: Sequence[str],
    seen: list[_Seen],
    widths: Mapping[int, int],
    outside: Mapping[str, str] | None,
    *,
    documents: bool,
    blanks: int,
) -> Columns:
    numbers = [int(name) - 1 for name in chosen if name.isdecimal()]
    if len(numbers) != len(chosen) or len(numbers) < A_TOKEN_AND_A_TAG or min(numbers, default=0) < 0:
        message = "--columns names token and tag of a line by number, counted from 1, e.g. --columns 2,3"
        raise UserError(message)
    if max(numbers) >= len(seen):
        message = (
            f"{file.path}: lines have {max(widths, default=0)} columns at most; --columns {','.join(chosen)} names a later one"
        )
        raise UserError(message)
    token, *tags = numbers
    return Columns(
        token,
        tuple(tags),
        max(widths) if len(widths) == 1 else max(token, tags[0]) + 1,
        even=len(widths) == 1,
        known=frozenset(seen[tags[0]].values),
        documents=documents,
        indexed=_indexed(seen, token),
        restarts=token > 0 and blanks == 0 and seen[0].counts,
        names=outside or {},
        numbers=_holds_numbers(seen[tags[0]].values),
    )


def _indexed(seen: Sequence[_Seen], token: int) -> bool:
    """Return whether the first column stands before the tokens and has numbers."""
    return token > 0 and not seen[0].lettered
