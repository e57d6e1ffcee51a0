"""Parts of sentences for people: numbers with their nouns, and printable foreign text."""

from __future__ import annotations

from collections.abc import Sequence


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
