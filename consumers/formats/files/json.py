"""JSON: one object a line, or a whole document: a list of rows, an object with a list of rows in it, or one row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from config.errors import UserError
from consumers.formats.files.open import ImportFile, is_decoded
from consumers.formats.rows import NOT_DECODED, AnyRow, BadRow, Row
from consumers.formats.spans import span_like
from consumers.formats.tags import unspaced
from consumers.formats.values import kind_of

_TEXT_AND_ANSWER = 2


def read(file: ImportFile) -> Iterator[AnyRow]:
    """Yield one row per line that is not blank; a file whose first line is not a whole object is read as one document."""
    lines = file.text()
    first = lines.readline()
    number = 1
    while first and not first.strip():
        first = lines.readline()
        number += 1
    if first.lstrip().startswith("["):
        yield from _listed(file, first, lines)
        return
    if first.lstrip().startswith("{") and _loaded(first) is None:
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
    line = first
    while line:
        if line.strip():
            yield _row(number, line)
        number += 1
        line = lines.readline()


def _listed(file: ImportFile, first: str, lines: Any) -> Iterator[AnyRow]:  # noqa: ANN401 - an open text file
    """Yield the elements of one list, or, where each line is a list of its own, one row a line."""
    second = lines.readline()
    while second and not second.strip():
        second = lines.readline()
    alone, following = _loaded(first), _loaded(second)
    if isinstance(alone, list) and isinstance(following, list):
        for number, line in enumerate((first, second, *lines), start=1):
            if line.strip():
                yield _row(number, line)
        return
    if second.strip() == "" and _is_pair(alone):
        yield _checked(1, alone)
        return
    content = first + second + lines.read()
    if not is_decoded(content):
        message = f"{file.path}: {NOT_DECODED}; nothing was imported from it"
        raise UserError(message)
    try:
        elements = json.loads(content, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        message = f"{file.path} starts as a JSON list but is not one ({error}); nothing was imported from it"
        raise UserError(message) from None
    yield from _elements(elements)


def _elements(elements: list[Any]) -> Iterator[AnyRow]:
    for number, element in enumerate(elements, start=1):
        yield _checked(number, element)


def _document(file: ImportFile, start: int, content: str) -> Iterator[AnyRow]:
    """Yield the rows of one object: the objects of the list it holds, else itself. Several one behind the other are rows."""
    if not is_decoded(content):
        yield BadRow(start, NOT_DECODED)
        return
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    position = 0
    values: list[Any] = []
    while position < len(content):
        try:
            value, position = decoder.raw_decode(content, position)
        except (ValueError, RecursionError) as error:
            if not values:
                message = f"{file.path} is neither one JSON object nor one a line ({error}); nothing was imported from it"
                raise UserError(message) from None
            line = start + content.count("\n", 0, position)
            last = start + content.count("\n")
            yield from _elements(values)
            yield BadRow(line, f"not JSON ({error}); lines {line} to {last} are left out with it", swallowed=last > line)
            return
        values.append(value)
        while position < len(content) and content[position].isspace():
            position += 1
    yield from _elements(rows_in(file, values[0]) if len(values) == 1 else values)


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
    while line and not line.strip():
        line = lines.readline()
        count += 1
    return line, count


def _row(number: int, line: str) -> AnyRow:
    if not is_decoded(line):
        return BadRow(number, NOT_DECODED)
    try:
        return _checked(number, json.loads(line, object_pairs_hook=_object))
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
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
