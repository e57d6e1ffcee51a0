"""Folders of JSON Lines that somebody adds to: the articles of lines that were not read yet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from config.foreign.times import read_time
from consumers.collecting.articles import Item, Unusable

_SUFFIXES = (".jsonl", ".ndjson")
_MOST_LINE_BYTES = 10_000_000
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "title": ("title", "headline"), "body": ("body", "text", "content", "description", "summary"), "url": ("url", "link"),
    "item_id": ("article_id", "id", "guid"),
    "published": ("published", "published_at", "occurred_at", "date", "time", "seendate"),
    "publisher": ("publisher", "source", "domain", "site"),
}  # fmt: skip
"""What a field is called, the first that a line has."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a line gave, and where in its file the next begins."""

    found: Item | Unusable
    ends: int


def files(folder: Path) -> list[Path]:
    """Return the files of a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file())


def lines(path: Path, start: int) -> Iterator[Line]:
    """Yield the whole lines of a file from byte `start`; one that is being written is left for the next time. Raises OSError."""
    with path.open("rb") as file:
        file.seek(start)
        at = start
        while line := file.readline(_MOST_LINE_BYTES):
            whole = line.endswith(b"\n")
            if not whole and len(line) < _MOST_LINE_BYTES:
                return
            at += len(line)
            too_long = not whole
            while not whole and (rest := file.readline(_MOST_LINE_BYTES)):
                at += len(rest)
                whole = rest.endswith(b"\n")
            place = f"{path.name}, byte {at - len(line)}"
            if too_long:
                yield Line(Unusable(place, f"the line is longer than {_MOST_LINE_BYTES} bytes"), at)
            elif line.strip():
                yield Line(_item(line, place), at)


def _item(line: bytes, place: str) -> Item | Unusable:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Unusable(place, f"it is no JSON ({str(error)[:100]})")
    if not isinstance(said, dict):
        return Unusable(place, "it is no object of JSON")
    found = {
        name: next((said[one] for one in called if said.get(one) not in (None, "")), None) for name, called in _FIELDS.items()
    }
    published = found.pop("published")
    texts = {name: _text(value) for name, value in found.items()}
    return Item(
        title=texts["title"] or "", body=texts["body"] or "", url=texts["url"], item_id=texts["item_id"],
        published=_time(published), publisher=texts["publisher"],
    )  # fmt: skip


def _text(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _time(value: Any) -> datetime | None:  # noqa: ANN401 - whatever the file holds
    try:
        return None if value is None else read_time(value)
    except ValueError:
        return None
