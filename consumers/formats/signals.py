"""What a row says of categories: a score and a tag in cells of their own, or all in one object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from consumers.formats.numbers import number_or_none
from consumers.formats.values import is_missing_word, missing, read_label, shown, unpacked


def tag_or_none(value: object) -> str | None:
    """Return a tag; None where nothing stands there, or what tools write for that. Raises ValueError for what is no label."""
    if missing(value) or (isinstance(value, str) and (not value.strip() or is_missing_word(value))):
        return None
    return read_label(value)


def signal_of(name: str, score: object, tag: object) -> dict[str, Any] | None:
    """Return what is said of a category; None where neither a score nor a tag is. Raises ValueError for a tag without a score."""
    if score is None and tag is None:
        return None
    if score is None:
        message = f"{name}: tag {shown(tag)} has no score; a tag needs one"
        raise ValueError(message)
    return {"score": score} if tag is None else {"score": score, "tag": tag}


def read_signals(value: object, names: Sequence[str]) -> dict[str, Mapping[str, Any] | None]:
    """Return what an object, or a text that is one, holds under `names`: objects with `score` and `tag`, or scores alone.

    Its other keys are left out. Raises ValueError.
    """
    found = unpacked(value)
    if not isinstance(found, Mapping):
        message = f"it is {shown(value)}; an object with a score and a tag for each category is expected"
        raise ValueError(message)  # noqa: TRY004 - one error type for whatever a file may hold
    return {name: _one(name, found.get(name)) for name in names}


def _one(name: str, said: object) -> dict[str, Any] | None:
    parts = said if isinstance(said, Mapping) else {"score": said}
    try:
        return signal_of(name, number_or_none(parts.get("score")), tag_or_none(parts.get("tag")))
    except ValueError as error:
        message = str(error) if str(error).startswith(f"{name}: ") else f"{name}: {error}"
        raise ValueError(message) from None
