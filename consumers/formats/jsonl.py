"""JSON Lines, and a JSON file that is one list of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from config.errors import UserError
from consumers.formats.open import ImportFile, is_utf8
from consumers.formats.rows import NOT_UTF8, AnyRow, BadRow, Row


def read(file: ImportFile) -> Iterator[AnyRow]:
    """Yield one row per line that is not blank; a file that starts with `[` is read whole, one row per element."""
    lines = file.text()
    first = lines.readline()
    while first and not first.strip():
        first = lines.readline()
    if first.lstrip().startswith("["):
        yield from _elements(file, first + lines.read())
        return
    number = 1
    line = first
    while line:
        if line.strip():
            yield _row(number, line)
        number += 1
        line = lines.readline()


def _elements(file: ImportFile, content: str) -> Iterator[AnyRow]:
    try:
        elements = json.loads(content)
    except (json.JSONDecodeError, RecursionError) as error:
        message = f"{file.path} starts as a JSON list but is not one ({error}); nothing was imported from it"
        raise UserError(message) from None
    for number, element in enumerate(elements, start=1):
        yield _checked(number, element)


def _row(number: int, line: str) -> AnyRow:
    if not is_utf8(line):
        return BadRow(number, NOT_UTF8)
    try:
        return _checked(number, json.loads(line))
    except (json.JSONDecodeError, RecursionError) as error:
        return BadRow(number, f"not JSON ({error}); one JSON object per line is expected")


def _checked(number: int, value: Any) -> AnyRow:  # noqa: ANN401 - whatever the file holds
    if not isinstance(value, dict):
        return BadRow(number, f"a JSON {type(value).__name__}; an object with named fields is expected")
    return Row(number, value)
