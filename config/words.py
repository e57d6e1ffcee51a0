"""Parts of sentences for people: numbers with their nouns, and printable foreign text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta


def counted(count: int, noun: str) -> str:
    """Return `1 row`, `2 rows`: a number with its noun."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def printable(text: str) -> str:
    """Return a text that cannot control the terminal: unprintable characters become U+FFFD."""
    # The joiners that Persian and Indic words need are no danger.
    return "".join(one if one.isprintable() or one in "\u200c\u200d" else "\N{REPLACEMENT CHARACTER}" for one in text)


def printable_lines(text: str) -> str:
    """Return a text of several lines that cannot control the terminal otherwise."""
    return "\n".join(map(printable, text.split("\n")))


def named(names: Sequence[str], most: int = 5) -> str:
    """Return the first `most` names, separated by commas, and the number of the others."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def moment(at: datetime) -> str:
    """Return a moment with its weekday, to the minute, in UTC."""
    return at.astimezone(UTC).strftime("%a %Y-%m-%d %H:%M UTC")


def span(delta: timedelta) -> str:
    """Return a span of time in its largest whole unit, `3 hours`; one that is over is `0 s`."""
    seconds = max(0, int(delta.total_seconds()))
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            return counted(seconds // size, unit)
    return f"{seconds} s"


def bar(value: float, full: float, width: int) -> tuple[str, str]:
    """Return the done and the open part of a bar of `width` characters that is full at `full`, and where `full` is 0."""
    done = int(width * min(1.0, value / full)) if full > 0 else width
    return "━" * done, "─" * (width - done)
