"""JSON and words that a stranger wrote: read within bounds, and shown as what no terminal takes for commands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

WRONG = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What reading someone else's JSON may raise."""
_LONGEST_CHARS = 2_000


def decode(content: bytes) -> Mapping[str, Any]:
    """Return the JSON object in `content`. Raises one of `WRONG`."""
    found = json.loads(content, parse_constant=_refuse)
    if not isinstance(found, dict):
        message = f"it is a JSON {type(found).__name__}, not an object"
        raise TypeError(message)
    return found


def inert(said: object) -> str:
    """Return what a stranger said as one bounded line that no terminal takes for commands."""
    line = "".join(character if character.isprintable() else " " for character in str(said)[: _LONGEST_CHARS + 1])
    return line if len(line) <= _LONGEST_CHARS else f"{line[:_LONGEST_CHARS]}…"


def _refuse(name: str) -> object:
    message = f"{name} is not JSON"
    raise ValueError(message)
