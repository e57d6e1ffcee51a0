"""Which column of a file holds what, and what its labels are called here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from config.errors import UserError


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """Names of columns. One that is None stands for the column of the field's own name, where the file has it.

    `id` (the article's) is read only when it is named: ids like 1, 2, 3 found by accident would join rows of different files.
    """

    text: str | None = None
    title: str | None = None
    body: str | None = None
    label: str | None = None
    time: str | None = None
    id: str | None = None
    spans: str | None = None

    def resolve(self, columns: Sequence[str]) -> Mapping[str, str]:
        """Return field -> column for a file with `columns`. Raises `UserError` naming the columns that exist."""
        given = {field: column for field, column in asdict(self).items() if column is not None}
        unknown = sorted(column for column in given.values() if column not in columns)
        if unknown:
            message = (
                f"there is no column {', '.join(map(repr, unknown))} in the file; its columns are {', '.join(map(repr, columns))}"
            )
            raise UserError(message)
        return {field: field for field in asdict(self) if field in columns and field != "id"} | given


def parse_pairs(text: str) -> dict[str, str]:
    """Return `{"PER": "PERSON", "MISC": ""}` for `PER=PERSON,MISC=`. Raises `UserError` when a part has no `=`."""
    pairs: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        old, equals, new = part.partition("=")
        if not equals or not old.strip():
            message = f"{part!r} is not OLD=NEW; write e.g. PER=PERSON,MISC= (nothing behind = leaves the label out)"
            raise UserError(message)
        pairs[old.strip()] = new.strip()
    return pairs


def read_label(value: object) -> str:
    """Return a label as text: a whole number keeps no decimal point."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def read_spans(value: object) -> list[dict[str, Any]]:
    """Return spans from a list (or its JSON text) of `{"start", "end", "label"}` or `[start, end, label]`.

    Raises ValueError saying what is expected.
    """
    message = 'spans are expected as a list of {"start": 0, "end": 5, "label": "ORG"} or [0, 5, "ORG"]'
    if isinstance(value, str):
        try:
            value = json.loads(value or "[]")
        except json.JSONDecodeError:
            raise ValueError(message) from None
    if not isinstance(value, list):
        raise ValueError(message)  # noqa: TRY004 - one error type for whatever a file may hold
    spans = []
    for span in value:
        if isinstance(span, list | tuple) and len(span) == 3:  # noqa: PLR2004 - start, end, label
            spans.append({"start": span[0], "end": span[1], "label": span[2]})
        elif isinstance(span, dict) and {"start", "end", "label"} <= span.keys():
            spans.append({name: span[name] for name in ("start", "end", "label")})
        else:
            raise ValueError(message)
    return spans
