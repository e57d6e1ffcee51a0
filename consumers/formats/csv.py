"""Comma- and tab-separated values, with or without a line of column names."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from consumers.formats.open import ImportFile, is_utf8, uncompressed_name
from consumers.formats.rows import NOT_UTF8, AnyRow, BadRow, Row

_LONGEST_FIELD_CHARS = 10_000_000


def read(file: ImportFile, *, header: bool = True) -> Iterator[AnyRow]:
    """Yield one row per record. Without `header` the columns are named `1`, `2`, ...

    A `.tsv` file is split at tabs and its quotes are plain characters, as tab-separated exports write them.
    """
    csv.field_size_limit(_LONGEST_FIELD_CHARS)
    tabs = uncompressed_name(file.path).suffix.lower() == ".tsv"
    records = csv.reader(
        file.text(), delimiter="\t" if tabs else ",", quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL, strict=True
    )
    columns: list[str] | None = None
    while True:
        line = records.line_num + 1
        try:
            record = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRow(line, f"not a CSV record ({error}); mind quotes inside fields")
            continue
        if not record:
            continue
        if columns is None:
            columns = [name.strip() for name in record] if header else [str(number + 1) for number in range(len(record))]
            if header:
                continue
        yield _row(line, columns, record)


def _row(line: int, columns: list[str], record: list[str]) -> AnyRow:
    if len(record) != len(columns):
        return BadRow(line, f"{len(record)} columns where {len(columns)} are expected")
    if not all(map(is_utf8, record)):
        return BadRow(line, NOT_UTF8)
    return Row(line, dict(zip(columns, record, strict=True)))
