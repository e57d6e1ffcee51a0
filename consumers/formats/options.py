"""What else than the file decides which events an import gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from consumers.formats.files.source import Format, Reading
from consumers.formats.spans import Nesting


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What else decides which events a file gives. Times: `since` is included, `until` is not."""

    format: Format | None = None
    header: bool = True
    labels: Mapping[str, str] | None = None
    """Label in the file -> label here; nothing leaves it out."""
    origin: Literal["gold", "import", "audit"] = "import"
    anchor: bool = False
    source: str = "import"
    """What labels name as their source. It is no part of what a row becomes: the same file gives the same events."""
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None
    delimiter: str | None = None
    encoding: str | None = None
    columns: tuple[str, ...] | None = None
    """Where tokens and tags (and sentences) stand: numbers in CoNLL, else names."""
    nested: Nesting = "outermost"
    splits: tuple[str, ...] | None = None
    """Parts of a folder, such as `train`; all if left out."""

    @property
    def reading(self) -> Reading:
        """Return the part that says how the file itself is read."""
        return Reading(self.format, self.header, self.delimiter, self.encoding, self.columns, self.splits)
