"""How much time one text may take of the processor: some seconds, and in proportion for a long one."""

from __future__ import annotations

WHOLE_CHARS = 10_000
"""A text up to this length has the whole time that the setting names; a longer one as much again for each part of this length."""


def budget_s(text_time_s: float, chars: int) -> float:
    """Return the seconds that a text of so many characters may take, `text_time_s` being what 10,000 of them may."""
    return text_time_s * max(1.0, chars / WHOLE_CHARS)
