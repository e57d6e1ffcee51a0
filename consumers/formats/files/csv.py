"""Comma-, semicolon- or tab-separated values, with or without a line of column names."""

from __future__ import annotations

import contextlib
import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from config.errors import UserError
from consumers.formats.files.open import ImportFile, is_decoded, uncompressed_name
from consumers.formats.rows import NOT_DECODED, AnyRow, BadRow, LeftOut, Row

_LONGEST_FIELD_CHARS = 10_000_000
_DELIMITERS = ",;\t|"
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "space"}
_LOOKED_AT_RECORDS = 200
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_SEP_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_LINES_BY_CHANCE = 3
"""So many lines of prose do not all have as many delimiters as a row by chance, where no column's values tell."""
_MOST_VALUES = 2_000
"""A column with more different values holds texts or ids, and none that rows share."""
_MARK = "\ufeff"
"""Stands before the first line of each file that some tools write, and so inside files put one behind the other."""
_MOST_RECOVERIES = 100
"""So often is a quote that is never closed read past, at up to `_LONGEST_FIELD_CHARS` each."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the fields of one file are separated."""

    delimiter: str
    quotes: bool = True
    """False: quotes are plain characters."""
    space_after: bool = False
    """Whether a space behind the delimiter belongs to it."""
    sep_line: bool = False
    """Whether the first line only names the delimiter, as Excel writes it."""
    said: str | None = None
    shared: tuple[frozenset[str], ...] = ()
    """The values that rows of one line have in each column; none of a column with very many."""
    repeats: bool = False
    """Whether two rows share a value."""

    def records(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """Return a reader of records; it raises `csv.Error` for one that cannot be read."""
        csv.field_size_limit(_LONGEST_FIELD_CHARS)
        return csv.reader(
            lines, delimiter=self.delimiter, quoting=csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE,
            skipinitialspace=self.space_after, strict=True,
        )  # fmt: skip

    def fields(self, line: str) -> list[str]:
        """Return the fields of one line by itself, whatever its quotes are like; none where it cannot be read."""
        with contextlib.suppress(csv.Error):
            return next(csv.reader([line], delimiter=self.delimiter, skipinitialspace=self.space_after), [])
        return []


def recognise(file: ImportFile, delimiter: str | None = None, *, header: bool = True) -> Dialect:
    """Return how a file's fields are separated: by `delimiter`, by its `sep=` line, else so that most records fit.

    In a `.tsv` file they stand apart by tabs, and quotes are plain characters, as tab-separated exports write them, but where
    fields show that they are not: column names in quotes, or doubled quotes inside quotes.
    """
    text = iter(file.text())
    lines = head = list(itertools.islice(text, _LOOKED_AT_RECORDS))
    named = _SEP_LINE.fullmatch(lines[0].rstrip("\r\n")) if lines else None
    tabs = uncompressed_name(file.path).suffix.lower() == ".tsv"
    chosen = delimiter or (named[1] if named else None)
    if chosen is None:
        chosen = "\t" if tabs and any("\t" in line for line in lines) else _fitting(lines)
    if named:
        lines = lines[1:]
    quotes = not tabs or chosen != "\t" or _has_quotes(lines)
    space_after = chosen != " " and quotes and _has_space_after(lines, chosen, header=header)
    said = [] if chosen == ("\t" if tabs else ",") else [f"delimiter: {_NAMES.get(chosen, repr(chosen))}"]
    said += [f"a space behind each {_NAMES.get(chosen, repr(chosen))} belongs to it"] if space_after else []
    dialect = Dialect(chosen, quotes, space_after, named is not None, ", ".join(said) or None)
    if header:
        _refuse_preamble(file, lines, dialect, [delimiter] if delimiter else _DELIMITERS)
    return _with_values(dialect, itertools.chain(head, text)) if quotes else dialect


def _refuse_preamble(file: ImportFile, lines: Sequence[str], dialect: Dialect, delimiters: Iterable[str]) -> None:
    """Refuse a file with lines of one field before its column names: each of its rows would be said to have too many."""
    first = next((line for line in lines if line.strip()), "")
    if len(dialect.fields(first)) != 1:
        return
    for sign in delimiters:
        widths = [len(record) for record in _parsed(lines, sign)]
        after = list(itertools.dropwhile(lambda width: width == 1, widths))
        if len(after) > 1 and len(after) < len(widths) and set(after) == {after[0]}:
            message = (
                f"{file.path}: the first line is {first.strip()[:60]!r}, and lines of {after[0]} columns follow it; remove what "
                "stands before the column names"
            )
            raise UserError(message)


def delimiter_named(name: str) -> str:
    """Return the one character that `--delimiter` means: itself or its name, such as `tab`. Raises `UserError`."""
    words = {word: sign for sign, word in _NAMES.items()} | {"\\t": "\t", "pipe": "|"}
    sign = words.get(name.lower(), name)
    if len(sign) != 1 or sign in '"\r\n':
        message = f"--delimiter {name!r} is not one character; give , or ; or | or tab"
        raise UserError(message)
    return sign


def read(file: ImportFile, dialect: Dialect, *, header: bool = True) -> Iterator[AnyRow]:
    """Yield one row per record. Without `header` the columns are named `1`, `2`, ... Raises `UserError` for doubled names.

    A quote that is never closed costs the line it stands in: the lines after it are read separately.
    """
    columns: list[str] | None = None
    names: list[str] = []
    for line, record in _records(iter(file.text()), dialect):
        if isinstance(record, BadRow):
            yield record
            continue
        if not record:
            # A blank line: sentences stand apart so where a row is a token.
            if columns is not None and len(columns) > 1:
                yield Row(line, {})
            continue
        if columns is None:
            columns = _names(file, record) if header else [str(number + 1) for number in range(len(record))]
            if header:
                names = _stripped(record)
                continue
        if header and _stripped(record) == names:
            yield LeftOut(line, "lines that repeat the column names, as files put one behind the other do")
            continue
        yield _row(line, columns, record)


def _records(source: Iterator[str], dialect: Dialect) -> Iterator[tuple[int, list[str] | BadRow]]:
    """Yield records with the line each begins in."""
    done = width = 0
    if dialect.sep_line:
        next(source, None)
        done = 1
    pending: list[str] = []
    recoveries = 0
    while True:
        taken: list[str] = []
        waiting = iter(pending)

        def lines(waiting: Iterator[str] = waiting, taken: list[str] = taken) -> Iterator[str]:
            # Not `yield from`: it would close the file when this reader is given up.
            for text in itertools.chain(waiting, source):
                begins = not taken
                taken.append(text)
                yield text.removeprefix(_MARK) if begins else text

        reader = dialect.records(lines())
        problem: csv.Error | None = None
        while True:
            try:
                record = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                problem = error
                break
            width = width or len(record)
            yield done + 1, _suspicious(done + 1, taken, record, dialect, width) or record
            done += len(taken)
            taken.clear()
        recoveries += len(taken) > 1
        swallowed = len(taken) > 1 or "unexpected end" in str(problem)
        yield done + 1, _bad(done + 1, done + len(taken), problem, swallowed=swallowed, read_on=recoveries <= _MOST_RECOVERIES)
        # What stands behind the first line of the broken record is read again by itself.
        again = taken[1:] if recoveries <= _MOST_RECOVERIES else []
        done += len(taken) - len(again)
        pending = [*again, *waiting]


def _suspicious(first: int, lines: Sequence[str], record: Sequence[str], dialect: Dialect, width: int) -> BadRow | None:
    """Return a bad row for a record over several lines that are records themselves: a quote was closed by that of another row."""
    if len(lines) == 1 or width == 1 or not dialect.quotes:
        return None
    where = f"one field in quotes takes lines {first} to {first + len(lines) - 1}, and"
    if len(record) != width:
        reason = f"{where} {len(record)} columns stand where {width} are expected"
    elif _hides_rows(lines, dialect, width):
        reason = f"{where} those between look like rows of their own"
    else:
        return None
    return BadRow(first, f"{reason}; they are left out. Look for a quote that is not closed", swallowed=True)


def _hides_rows(lines: Sequence[str], dialect: Dialect, width: int) -> bool:
    """Return whether the lines of one record look like rows: cut at the delimiter, and with values that other rows have too.

    A delimiter in a line of prose is no sign by itself; what stands behind it is seldom what another row has in that column.
    """
    *before, opening = dialect.fields(lines[0]) or [""]
    begun = [*before, *opening.rstrip("\r\n").split(dialect.delimiter)]
    if len(begun) < width or len(dialect.fields(lines[-1])) < width:
        return False
    inner = [fields for line in lines[1:-1] if line.strip() and (fields := dialect.fields(line))]
    if not inner:
        return _is_shared(begun, dialect, len(before) + 1)
    fitting = [fields for fields in inner if len(fields) == width]
    if 2 * sum(_is_shared(fields, dialect) for fields in fitting) > len(inner):
        return True
    # No rows of the file are alike in anything, so that only the shape is left.
    return not dialect.repeats and len(inner) >= _LINES_BY_CHANCE and len(fitting) == len(inner)


def _is_shared(fields: Sequence[str], dialect: Dialect, since: int = 0) -> bool:
    return any(field in values for field, values in list(zip(fields, dialect.shared, strict=False))[since:])


def _with_values(dialect: Dialect, lines: Iterator[str]) -> Dialect:
    """Return a dialect that knows which values rows of one line have in each column. Column names are none."""
    values: list[set[str]] = []
    repeats = False
    records = _records(lines, dialect)
    next(records, None)
    for _line, record in records:
        if isinstance(record, BadRow) or not record:
            continue
        while len(values) < len(record):
            values.append(set())
        for seen, field in zip(values, record, strict=False):
            if field.strip() and "\n" not in field and len(seen) <= _MOST_VALUES:
                repeats = repeats or field in seen
                seen.add(field)
    shared = tuple(frozenset(seen if len(seen) <= _MOST_VALUES else ()) for seen in values)
    return replace(dialect, shared=shared, repeats=repeats)


def _bad(first: int, last: int, problem: csv.Error, *, swallowed: bool, read_on: bool) -> BadRow:
    if last == first and not swallowed:
        return BadRow(first, f"not a CSV record ({problem}); check quotes inside fields")
    rest = "the lines after it are read separately" if read_on else "they are left out"
    reason = f"a quote that begins here is not closed ({problem}): it would swallow lines {first} to {last}; {rest}"
    return BadRow(first, f"{reason}. Close the quote, or double quotes inside a field", swallowed=True)


def _names(file: ImportFile, record: Sequence[str]) -> list[str]:
    names = _stripped(record)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if any(twice):
        doubled = ", ".join(map(repr, filter(None, twice)))
        message = f"{file.path} has more than one column {doubled}; rename one of them, or give --no-header"
        raise UserError(message)
    # Columns without a name, such as an index, get their number as name.
    return [name or f"column {number}" for number, name in enumerate(names, start=1)]


def _stripped(names: Sequence[str]) -> list[str]:
    return [name.strip() for name in names]


def _row(line: int, columns: list[str], record: list[str]) -> AnyRow:
    if len(record) != len(columns):
        return BadRow(line, f"{len(record)} columns where {len(columns)} are expected")
    if not all(map(is_decoded, record)):
        return BadRow(line, NOT_DECODED)
    return Row(line, dict(zip(columns, record, strict=True)))


def _fitting(lines: Sequence[str]) -> str:
    """Return the delimiter by which most records have as many fields as the first one, of at least two."""
    fits = {sign: _fit(lines, sign) for sign in _DELIMITERS}
    return max(_DELIMITERS, key=lambda sign: fits[sign])


def _fit(lines: Sequence[str], delimiter: str) -> tuple[int, int]:
    records = _parsed(lines, delimiter)
    if not records or len(records[0]) == 1:
        return 0, 0
    return sum(len(record) == len(records[0]) for record in records), len(records[0])


def _has_quotes(lines: Sequence[str]) -> bool:
    """Return whether the fields of tab-separated lines stand in quotes: all that begin with one are whole, and one shows it."""
    fields = [field for line in lines for field in line.rstrip("\r\n").split("\t") if field.startswith('"')]
    shown = (bool(lines) and lines[0].startswith('"')) or any('""' in field[1:-1] for field in fields)
    names = lines[0].rstrip("\r\n").split("\t") if lines else []
    # A field that is not whole is then a mistake, and not what shows that quotes are characters.
    quoted = len(names) > 1 and all(map(_QUOTED.fullmatch, names))
    return quoted or (shown and all(_QUOTED.fullmatch(field) for field in fields))


def _has_space_after(lines: Sequence[str], delimiter: str, *, header: bool) -> bool:
    """Return whether column names, or fields in quotes, stand a space behind the delimiter."""
    records = _parsed(lines, delimiter)
    names = records[0] if records and header else []
    return any(name.startswith(" ") for name in names) or any(
        field.startswith(" ") and field.lstrip(" ").startswith('"') for record in records for field in record
    )


def _parsed(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    records: list[list[str]] = []
    with contextlib.suppress(csv.Error):
        records.extend(record for record in csv.reader(iter(lines), delimiter=delimiter) if record)
    return records
