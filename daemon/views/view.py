"""What every read model is: frozen, typed, and written as JSON in one way, whoever shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer

JsonFloat = Annotated[float, PlainSerializer(lambda value: value if math.isfinite(value) else str(value), when_used="json")]
"""A figure that may be infinite: JSON knows no infinity, so the word stands there and is read back as one."""


class View(BaseModel):
    """A picture of something at one moment. Values of other layers with the same names become one by `View.model_validate`."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True)


class Recorded(View):
    """A view of JSON that some version of the program has recorded; unknown fields are kept and shown too."""

    model_config = ConfigDict(extra="allow")


def as_json(value: object) -> Any:  # noqa: ANN401 - what JSON can hold
    """Return what JSON can hold of a view, a frozen dataclass or plain values; moments as HTTP writes them (ISO 8601, `Z`).

    Raises `TypeError` for anything else: a value that nobody has thought about must not be printed as Python shows it.
    """
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {_key(key): as_json(entry) for key, entry in value.items()}
    if isinstance(value, AbstractSet):
        return sorted(as_json(entry) for entry in value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return [as_json(entry) for entry in value]
    return _leaf(value)


def _leaf(value: object) -> str | float | int | bool | None:
    if isinstance(value, Enum):
        return _leaf(value.value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | float | int):
        return value
    message = f"a {type(value).__name__} is not data that JSON can hold"
    raise TypeError(message)


def _key(key: object) -> str:
    if isinstance(key, str | int):
        return str(key)
    message = f"a {type(key).__name__} cannot name a value in JSON"
    raise TypeError(message)
