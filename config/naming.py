"""Lists of names that people read: a few of them, and how many more there are."""

from __future__ import annotations

from collections.abc import Sequence


def named(names: Sequence[str], most: int = 5) -> str:
    """Return the first `most` names, separated by commas, and the number of the others."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
