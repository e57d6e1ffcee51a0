"""How much time one text may take of the processor: some seconds, and in proportion for a long one."""

from __future__ import annotations

WHOLE_CHARS = 10_000
"""A text up to this length has the whole time that the setting names; a longer one as much again for each part of this length."""


def budget_s(text_time_s: float, chars: int) -> float:
    """Return the time limit in seconds of a text of this many characters; `text_time_s` is the limit per 10,000."""
    return text_time_s * max(1.0, chars / WHOLE_CHARS)
