"""What a card is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a card: paragraphs, a list, a table; the first two may hold Markdown's ** and `."""

    title: str
    text: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[object, ...], ...] = ()
