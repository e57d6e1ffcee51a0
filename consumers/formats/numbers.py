"""Numbers of a row that may be missing: in a cell each, or in one object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from consumers.formats.values import is_missing_word, missing, read_number, shown, unpacked


def number_or_none(value: object) -> float | None:
    """Return a number; None where nothing stands there, or what tools write for that. Raises ValueError for anything else."""
    if missing(value) or (isinstance(value, str) and (not value.strip() or is_missing_word(value))):
        return None
    return read_number(value)


def read_numbers(value: object, names: Sequence[str]) -> dict[str, float | None]:
    """Return the numbers that an object, or a text that is one, holds under `names`; its other keys are left out."""
    found = unpacked(value)
    if not isinstance(found, Mapping):
        message = f"it is {shown(value)}; an object with a number for each dimension is expected"
        raise ValueError(message)  # noqa: TRY004 - one error type for whatever a file may hold
    numbers = {}
    for name in names:
        try:
            numbers[name] = number_or_none(found.get(name))
        except ValueError as error:
            message = f"{name}: {error}"
            raise ValueError(message) from None
    return numbers
