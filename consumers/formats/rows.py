"""What every format is read into: rows with named columns, rows that could not be read, and rows left out on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its line in the file (or its number, where a format has no lines) and its columns."""

    line: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used, and why; it is counted and shown, and its neighbours are processed normally."""

    line: int
    reason: str
    swallowed: bool = False
    """Whether more than this row may be lost, or was nearly: the import then ends with an error."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that says itself that it is no example, such as one rejected in the tool that wrote it; counted by its reason."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A value that could not be read. It costs its row only where the column is used."""

    reason: str


AnyRow = Row | BadRow | LeftOut


def renumbered(row: AnyRow, line: int) -> AnyRow:
    """Return a row with another number."""
    return replace(row, line=line)


NOT_DECODED = "some bytes are not in the encoding of the file; save it as UTF-8, or name its encoding with --encoding"


@dataclass(slots=True)
class Findings:
    """What was noticed while rows were read: how often, and where first."""

    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)

    def add(self, what: str, line: int, times: int = 1) -> None:
        """Count `what` once more, seen in row `line`."""
        self.counts[what] = self.counts.get(what, 0) + times
        self.first.setdefault(what, line)

    def clear(self) -> None:
        """Forget what was noticed."""
        self.counts.clear()
        self.first.clear()

    def in_words(self) -> list[str]:
        """Return one sentence for each thing noticed."""
        return [f"{what}: {count} (first in row {self.first[what]})" for what, count in self.counts.items()]
