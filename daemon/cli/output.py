"""What every command prints with: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console as RichConsole
from rich.console import ConsoleDimensions
from rich.table import Table
from rich.text import Text

from config.words import printable, printable_lines
from daemon.views.view import as_json

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

_PIPE_COLUMNS = 10_000
_COLUMN_COLUMNS = 16
"""A column of sentences needs this much room; with less, each row of a table is printed as a list."""


class Console(RichConsole):
    """A console that breaks no line where nobody looks at a screen: ids that come through a pipe can be used as they are."""

    @property
    def size(self) -> ConsoleDimensions:
        """Columns and lines of the screen; as many columns as anything needs where there is none, whatever COLUMNS says."""
        size = super().size
        return size if self.is_terminal else ConsoleDimensions(_PIPE_COLUMNS, size.height)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size


console = Console(highlight=False)


def print_json(value: object) -> None:
    """Print one JSON document. Letters stand as they are; what would move a terminal is escaped, and reads back the same.

    Raises `TypeError` for what is no data (see `views.view.as_json`).
    """
    document = json.dumps(as_json(value), indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("".join(one if one == "\n" or one.isprintable() else json.dumps(one)[1:-1] for one in document) + "\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str = "none") -> None:
    """Print a table, or `empty` where there are no rows; moments in UTC, to the minute.

    Text in a cell is shown as it is, whatever it holds: ids and reasons come from strangers. For markup give a `rich.text.Text`.
    Lines break between words only, so that ids can be copied; where the screen is too narrow for that, each row is a list.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        console.print(f"[bold]{title}[/]: {empty}")
        return
    if title:
        console.print(f"[bold]{title}[/]")
    if not _fits(columns, cells):
        _print_lists(columns, cells)
        return
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for number, column in enumerate(columns):
        words = all(" " not in row[number].plain for row in cells)
        shown.add_column(column, overflow="fold", no_wrap=words, min_width=_longest_word(row[number] for row in cells))
    for row in cells:
        shown.add_row(*row)
    with console.capture() as drawn:
        console.print(shown)
    # Rich fills each line up to the width of the table.
    console.file.write("".join(f"{line.rstrip()}\n" for line in drawn.get().split("\n")[:-1]))


def _print_lists(columns: Sequence[str], cells: Iterable[Sequence[Text]]) -> None:
    for row in cells:
        for number, (column, cell) in enumerate(zip(columns, row, strict=True)):
            if cell.plain:
                told = Text.assemble("" if number == 0 else "    ", (f"{column} " if column else "", "dim"), cell)
                console.print(told, soft_wrap=True)


def say(*parts: str | tuple[str, str], indent: int = 0) -> None:
    """Print a text as it is, whatever it holds; a part may be a pair of text and style.

    On a terminal it goes on under itself: behind its first `indent` columns. Lines break between words only, and never in a pipe.
    """
    styled = ((part, "") if isinstance(part, str) else part for part in parts)
    text = Text.assemble(*((printable_lines(content), style) for content, style in styled))
    if console.is_terminal:
        wrapped = text[indent:].wrap(console, max(_COLUMN_COLUMNS, console.width - indent), overflow="ignore")
        for line in wrapped:
            line.rstrip()
        text = text[:indent] + Text(f"\n{' ' * indent}").join(wrapped)
    console.print(text, soft_wrap=True)


def _fits(columns: Sequence[str], cells: Sequence[Sequence[Text]]) -> bool:
    least = 0
    for number, column in enumerate(columns):
        longest = max(row[number].cell_len for row in cells)
        word = _longest_word(row[number] for row in cells)
        least += max(len(column), min(longest, max(word, _COLUMN_COLUMNS))) + 2
    return least <= console.width


def _longest_word(cells: Iterable[Text]) -> int:
    return max((Text(word).cell_len for cell in cells for word in cell.plain.split(" ")), default=0)


def _cell(value: object) -> Text:
    if isinstance(value, Text):
        return value
    if isinstance(value, datetime):
        return Text(f"{value:%Y-%m-%d %H:%M}")
    return Text("" if value is None else printable(" ".join(str(value).split("\n"))))
