"""What every format is read into: rows with named columns, and rows that could not be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its line in the file (or its number, where a format has no lines) and its columns."""

    line: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used, and why; it is counted and shown, and its neighbours go on."""

    line: int
    reason: str


AnyRow = Row | BadRow
NOT_UTF8 = "not UTF-8; save the file as UTF-8"
