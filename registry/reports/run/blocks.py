"""What a report is made of, whatever it is written as: sections, and the few sorts of blocks in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from registry.reports.answers import Row
from registry.runs import Level

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Standing:
    """The verdict: a level and what it means."""

    level: Level | None
    """None: not decided yet."""
    words: str


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head; an empty head: pairs of a name and a value."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()
    """Columns that hold numbers."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart, drawn when it is written."""

    alt: str
    draw: Callable[[], Figure]


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows that the two models answer differently."""

    side: Literal["better", "worse", "otherwise"]
    title: str
    rows: tuple[Row, ...]
    in_text: bool
    """Whether answers are places in the text."""


Block = Standing | Text | Items | Table | Picture | Examples


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report."""

    title: str
    blocks: tuple[Block, ...]
    folded: bool = False
    """Whether it is shown closed where a reader can open it."""
