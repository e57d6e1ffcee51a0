"""What all rows of a file look like: which fields there are, what shapes their values have, which short texts they hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from consumers.formats.rows import AnyRow, BadRow, Row
from consumers.formats.spans import span_like
from consumers.formats.values import is_whole_decimal, missing, unpacked, whole_or_none

_MOST_FIELDS = 1_000
_MOST_VALUES = 2_000
_LONGEST_VALUE = 200
_LISTS = frozenset({"spans", "offsets", "texts", "wholes", "labels", "empty list", "list"})


@dataclass(slots=True)
class Field:
    """One field of all rows."""

    shapes: dict[str, int] = field(default_factory=dict)
    values: dict[str, int] = field(default_factory=dict)
    """Short texts, and whole numbers by their digits, and how often they stand there."""
    few: bool = True
    """Whether `values` has all of them."""
    decimals: int = 0
    """How many texts are whole numbers with a decimal point."""

    def only(self, *shapes: str) -> bool:
        """Return whether some value has one of `shapes`, and none has another (missing values aside)."""
        found = self.shapes.keys() - {"missing"}
        return bool(found) and found <= set(shapes)

    def some(self, *shapes: str) -> bool:
        """Return whether some value has one of `shapes`."""
        return bool(self.shapes.keys() & set(shapes))

    @property
    def lists(self) -> bool:
        """Return whether every value is a list."""
        return self.only(*_LISTS)


@dataclass(slots=True)
class Survey:
    """All rows of a file."""

    rows: int = 0
    bad: int = 0
    blank: int = 0
    """Blank lines between records."""
    fields: dict[str, Field] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)

    def has(self, name: str, *shapes: str) -> bool:
        """Return whether there is such a field, and whether some of its values have one of `shapes` where any are given."""
        return name in self.fields and (not shapes or self.fields[name].some(*shapes))

    def decimals(self, name: str) -> bool:
        """Return whether all texts of a field are whole numbers with a decimal point, as a column with gaps is written."""
        return name in self.fields and 0 < self.fields[name].decimals == self.fields[name].shapes.get("text")


def survey(rows: Iterable[AnyRow]) -> Survey:
    """Return what all `rows` look like, in bounded memory."""
    found = Survey()
    for row in rows:
        if isinstance(row, BadRow):
            found.bad += 1
        if not isinstance(row, Row):
            continue
        found.rows += bool(row.values)
        found.blank += not row.values
        for name, value in row.values.items():
            if name in found.fields or len(found.fields) < _MOST_FIELDS:
                _note(found.fields.setdefault(name, Field()), value)
    return found


def _note(seen: Field, value: object) -> None:
    shape = shape_of(value)
    seen.shapes[shape] = seen.shapes.get(shape, 0) + 1
    if shape == "number" and (number := whole_or_none(value)) is not None and len(seen.values) < _MOST_VALUES:
        seen.values[f"{number:d}"] = seen.values.get(f"{number:d}", 0) + 1
    if shape != "text" or not isinstance(value, str):
        return
    seen.decimals += is_whole_decimal(value)
    if len(value) <= _LONGEST_VALUE and (value in seen.values or len(seen.values) < _MOST_VALUES):
        seen.values[value] = seen.values.get(value, 0) + 1
    else:
        seen.few = False


def shape_of(value: Any) -> str:  # noqa: ANN401 - whatever the file holds
    """Return what a value looks like, in one word or two."""
    if missing(value):
        return "missing"
    value = unpacked(value)
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, dict):
        return "choices" if value.keys() == {"choices"} else "object"
    return _list_shape(value) if isinstance(value, list | tuple) else "other"


def _list_shape(values: list[Any] | tuple[Any, ...]) -> str:
    if not values:
        return "empty list"
    first = values[0]
    if isinstance(first, str):
        return "texts"
    if whole_or_none(first) is not None:
        return "wholes"
    if isinstance(first, dict):
        return _object_shape(first)
    return "offsets" if span_like(first) else "list"


def _object_shape(first: dict[str, Any]) -> str:
    """Return what a list of objects holds, from the first of them."""
    if span_like(first) and "start_offset" in first:
        return "offset spans"
    # Regions of pictures, HTML and dialogues have labels too; whoever reads spans refuses them.
    if any(str(name).endswith("labels") for name in first):
        return "regions"
    if span_like(first):
        return "spans"
    return "labels" if "label" in first else "list"
