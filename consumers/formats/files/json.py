"""JSON: one object a line, or a whole document: a list of rows, an object with a list of rows in it, or one row."""

from __future__ import annotations

import io
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from config.errors import UserError
from consumers.formats.files.open import ImportFile, is_decoded
from consumers.formats.rows import NOT_DECODED, AnyRow, BadRow, Row
from consumers.formats.spans import span_like
from consumers.formats.tags import unspaced
from consumers.formats.values import kind_of

_TEXT_AND_ANSWER = 2
_MARK = "\ufeff"


def read(file: ImportFile) -> Iterator[AnyRow]:
    """Yield one row per line that is not blank; a file whose first line is not a whole object is read as one document.

    What is no document either is read line by line where a later line is a whole object. A comma behind an object, a record
    separator and a byte-order mark before it (of files put one behind the other) are no part of its line.
    """
    lines = file.text()
    first = lines.readline()
    number = 1
    while first and not _bare(first):
        first = lines.readline()
        number += 1
    if _bare(first).startswith("["):
        yield from _listed(file, number, first, lines)
        return
    if _bare(first).startswith("{") and _loaded(first) is None:
        second = lines.readline()
        # Where the next line is an object the first is a broken row, not the beginning of a document.
        if not isinstance(_loaded(second), dict):
            yield from _document(file, number, first + second + lines.read())
            return
        yield _row(number, first)
        first, number = second, number + 1
    elif isinstance(document := _loaded(first), dict):
        second, between = _next_filled(lines)
        if not second:
            rows = rows_in(file, document)
            yield from [_row(number, first)] if rows == [document] else _elements(rows)
            return
        yield _row(number, first)
        first, number = second, number + between
    yield from _by_line(number, itertools.chain([first], lines))


def _by_line(start: int, lines: Iterable[str]) -> Iterator[AnyRow]:
    for number, line in enumerate(lines, start=start):
        if _bare(line):
            yield _row(number, line)


def _lines_of_rows(content: str) -> list[str]:
    """Return the lines of what is no document, nothing where none behind the first is a whole object that may be a row."""
    # Not `splitlines`: texts may hold other characters that end a line.
    lines = list(io.StringIO(content, newline=""))
    later = (_loaded(line) for line in lines[1:] if _bare(line).startswith("{"))
    return lines if any(isinstance(one, dict) and not span_like(one) for one in later) else []


def _listed(file: ImportFile, start: int, first: str, lines: TextIO) -> Iterator[AnyRow]:
    """Yield the elements of one list, or, where each line is a list of its own or the list is none, one row a line."""
    second = lines.readline()
    blanks = []
    while second and not _bare(second):
        blanks.append(second)
        second = lines.readline()
    alone, following = _loaded(first), _loaded(second)
    if isinstance(alone, list) and isinstance(following, list):
        yield from _by_line(start, itertools.chain([first, *blanks, second], lines))
        return
    if not second and _is_pair(alone):
        yield _checked(1, alone)
        return
    content = "".join([first, *blanks, second, lines.read()])
    try:
        elements = json.loads(_bare(content), object_pairs_hook=_object) if is_decoded(content) else None
        problem = NOT_DECODED
    except (ValueError, RecursionError) as error:
        elements, problem = None, f"it starts as a JSON list but is not one ({error})"
    if elements is not None:
        yield from _elements(elements)
    elif rows := _lines_of_rows(content):
        yield from _by_line(start, ("" if _bare(line) in {"[", "]"} else line for line in rows))
    else:
        message = f"{file.path}: {problem}; nothing was imported from it"
        raise UserError(message)


def _elements(elements: list[Any]) -> Iterator[AnyRow]:
    for number, element in enumerate(elements, start=1):
        yield _checked(number, element)


def _document(file: ImportFile, start: int, content: str) -> Iterator[AnyRow]:
    """Yield the rows of one object: the objects of the list it holds, else itself. Several one behind the other are rows."""
    if not is_decoded(content):
        rows = _lines_of_rows(content)
        yield from _by_line(start, rows) if rows else [BadRow(start, NOT_DECODED)]
        return
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    position = _next_value(content, 0)
    values: list[Any] = []
    while position < len(content):
        try:
            value, position = decoder.raw_decode(content, position)
        except (ValueError, RecursionError) as error:
            line = start + content.count("\n", 0, position)
            if rows := _lines_of_rows(content[position:]):
                yield from _elements(values)
                # Several objects of one line had numbers of their own.
                yield from _by_line(max(line, len(values) + 1), rows)
                return
            if not values:
                message = f"{file.path} is neither one JSON object nor one a line ({error}); nothing was imported from it"
                raise UserError(message) from None
            last = start + content.count("\n")
            yield from _elements(values)
            yield BadRow(line, f"not JSON ({error}); lines {line} to {last} are left out with it", swallowed=last > line)
            return
        values.append(value)
        position = _next_value(content, position)
    yield from _elements(rows_in(file, values[0]) if len(values) == 1 else values)


def _next_value(content: str, position: int) -> int:
    """Return where the next value begins: white space, record separators and byte-order marks are none."""
    while position < len(content) and (content[position].isspace() or content[position] == _MARK):
        position += 1
    return position


def rows_in(file: ImportFile, document: Any) -> list[Any]:  # noqa: ANN401 - whatever the file holds
    """Return the rows of one object: the entries of its only list of objects (or of text-and-answer pairs), else the object.

    Raises `UserError` naming the lists when it holds several.
    """
    lists = {
        name: value
        for name, value in document.items()
        if isinstance(value, list)
        and value
        and all(isinstance(one, dict) or _is_pair(one) or one is None for one in value)
        and not all(map(span_like, value))
    }
    # Prose beside the list: the object is a row itself, and the list belongs to it, as spans do.
    own = any(map(_prose, document.values()))
    if not lists or (own and not any(_holds_texts(entries) for entries in lists.values())):
        return [document]
    if own:
        message = (
            f"{file.path} is one object that has a text and also a list of objects with texts "
            f"({', '.join(map(repr, lists))}); save the intended part as a separate file. Nothing was imported from it"
        )
        raise UserError(message)
    if len(lists) > 1:
        message = (
            f"{file.path} is one object with several lists of rows ({', '.join(map(repr, lists))}); "
            "save the intended one as a separate file. Nothing was imported from it"
        )
        raise UserError(message)
    # Some tools leave nothing where an entry was skipped.
    return [one for one in next(iter(lists.values())) if one is not None]


def _prose(value: object) -> bool:
    """Return whether a value, or one in an object, is a text of several words (or of a script that writes no spaces)."""
    if isinstance(value, dict):
        return any(isinstance(one, str) and _prose(one) for one in value.values())
    return isinstance(value, str) and (len(value.split()) > 1 or (len(value) > 1 and all(map(unspaced, value[:2]))))


def _holds_texts(entries: list[Any]) -> bool:
    """Return whether objects of a list are texts, not spans of one nor what somebody said of it."""
    return any(isinstance(one, dict) and not span_like(one) and any(map(_prose, one.values())) for one in entries)


def _next_filled(lines: Any) -> tuple[str, int]:  # noqa: ANN401 - an open text file
    """Return the next line that is not blank, nothing at the end, and how many lines on it stands."""
    count = 1
    line = lines.readline()
    while line and not _bare(line):
        line = lines.readline()
        count += 1
    return line, count


def _bare(line: str) -> str:
    """Return what a line holds: without white space (record separators are some), a mark before it, and a comma behind it."""
    return line.strip().removeprefix(_MARK).strip().removesuffix(",").rstrip()


def _row(number: int, line: str) -> AnyRow:
    if not is_decoded(line):
        return BadRow(number, NOT_DECODED)
    try:
        return _checked(number, json.loads(_bare(line), object_pairs_hook=_object))
    except (ValueError, RecursionError) as error:
        return BadRow(number, f"not JSON ({error}); one JSON object per line is expected")


def _checked(number: int, value: Any) -> AnyRow:  # noqa: ANN401 - whatever the file holds
    if _is_pair(value):
        # spaCy's training data: a text and what is known of it.
        return Row(number, {"text": value[0], **value[1]})
    if not isinstance(value, dict):
        return BadRow(number, f"there is {kind_of(value)}; an object with named fields is expected")
    return Row(number, value)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        message = f"the field {twice!r} appears twice in one object; remove one"
        raise ValueError(message)
    return values


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == _TEXT_AND_ANSWER and isinstance(value[0], str) and isinstance(value[1], dict)


def _loaded(line: str) -> Any:  # noqa: ANN401 - whatever the file holds
    try:
        return json.loads(_bare(line))
    except (ValueError, RecursionError):
        return None
