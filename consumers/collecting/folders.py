"""Folders of JSON Lines that somebody adds to: the articles of lines that were not read yet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from config.foreign.times import read_time
from consumers.collecting.articles import Item, Unusable
from consumers.formats.fields import named
from consumers.formats.values import missing, read_id, read_text, read_token

_SUFFIXES = (".jsonl", ".ndjson")
_MOST_LINE_BYTES = 10_000_000
_SHOWN_CHARS = 300
_Value = TypeVar("_Value")


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
    there = {str(name): value for name, value in said.items() if not missing(value)}
    try:
        return Item(
            title=_read(there, "title", read_text) or "", body=_read(there, "body", read_text) or "",
            url=_read(there, "url", read_token), item_id=_read(there, "id", read_id), published=_read(there, "time", read_time),
            publisher=_read(there, "publisher", _read_publisher),
        )  # fmt: skip
    except ValueError as error:
        return Unusable(place, str(error)[:_SHOWN_CHARS])


def _read(there: Mapping[str, Any], field: str, reader: Callable[[Any], _Value]) -> _Value | None:
    """Return what `reader` makes of a field; None where a line has none. Raises `ValueError` with the name that it has there."""
    name = named(there, field)
    try:
        return None if name is None else reader(there[name])
    except ValueError as error:
        message = f"{name!r}: {error}"
        raise ValueError(message) from None


def _read_publisher(value: object) -> str:
    """Return a publisher's name, which news services give as a part of an object."""
    return read_token(value.get("name") if isinstance(value, dict) else value)
