"""The answers to each row, in a file: JSON lines, or a table for a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from config.errors import UserError
from config.files import writable
from config.files.durable import write_atomic
from daemon.operations.evaluating.evaluate import Found

SUFFIXES = (".jsonl", ".csv")
_OWN = frozenset({"row", "text", "gold"})
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins so for a formula."""


def check(path: Path) -> None:
    """Raise `UserError` for a path that answers cannot be written to."""
    if path.suffix.lower() not in SUFFIXES:
        message = f"--answers {path}: name a file that ends in {' or '.join(SUFFIXES)}"
        raise UserError(message)
    writable.check(path, "--answers")


def write(path: Path, found: Found) -> int:
    """Write a line per row, the whole file at once or not at all; return how many.

    Fields: `row` (its number in the file), `text`, `gold`, and the answer of each model under its name; under `model:NAME` where
    another field is called so, with a number where both are one model. In a table the last are
    JSON, and a text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    lines = list(_lines(found))
    if path.suffix.lower() == ".jsonl":
        content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    else:
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, fieldnames=list(lines[0]), lineterminator="\n")
        writer.writerow({name: _cell(name) for name in lines[0]})
        writer.writerows({name: _cell(value) for name, value in line.items()} for line in lines)
        content = buffer.getvalue()
    write_atomic(path, content.encode("utf-8", "backslashreplace"))
    return len(lines)


def _lines(found: Found) -> Iterator[dict[str, Any]]:
    names = _fields([model.name for model in found.evaluation.models])
    columns = ["opponent", "candidate"][-len(names) :]
    texts = found.rows.table["text"].to_pylist()
    for number, text, row in zip(found.rows.lines, texts, found.scores.to_pylist(), strict=True):
        answers = {name: json.loads(row[column]) for name, column in zip(names, columns, strict=True)}
        yield {"row": number, "text": text, "gold": json.loads(row["gold"]), **answers}


def _fields(names: Sequence[str]) -> list[str]:
    fields: list[str] = []
    for name in names:
        field = f"model:{name}" if name in _OWN else name
        fields.append(f"{field} (2)" if field in fields else field)
    return fields


def _cell(value: object) -> object:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return value if isinstance(value, int) else json.dumps(value, ensure_ascii=False)
