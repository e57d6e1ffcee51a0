"""Output of all commands: tables for people, JSON for programs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console as RichConsole
from rich.console import ConsoleDimensions
from rich.table import Table
from rich.text import Text

from config.words import printable, printable_lines

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

_PIPE_COLUMNS = 1_000_000
_BEYOND_ASCII = re.compile(r"[^\n\x20-\x7e]")
_WORD = re.compile(r"\S+\s*")
_LIST = " " * 4
_GAP = 2
_COLUMN_COLUMNS = 16
"""A column of sentences needs this much room; with less, each row of a table is printed as a list."""


class Console(RichConsole):
    """A console that breaks no line when piped, so that ids can be used as they are."""

    @property
    def size(self) -> ConsoleDimensions:
        """Columns and lines of the terminal; when piped, as many columns as needed, whatever COLUMNS says."""
        size = super().size
        return size if self.is_terminal else ConsoleDimensions(_PIPE_COLUMNS, size.height)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size


console = Console(highlight=False)


def print_json(value: object) -> None:
    """Print one JSON document. Letters are kept; characters that would control a terminal are escaped, and read back the same.

    Raises `TypeError` for what is not data (see `views.view.as_json`).
    """
    from daemon.views.view import as_json  # noqa: PLC0415 - heavy

    document = json.dumps(as_json(value), indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write(_BEYOND_ASCII.sub(lambda one: one[0] if one[0].isprintable() else json.dumps(one[0])[1:-1], document) + "\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str = "none") -> None:
    """Print a table, or `empty` where there are no rows; moments in UTC, to the minute.

    Text in a cell is shown literally: ids and reasons come from outside. For markup give a `rich.text.Text`.
    Lines break between words only, so that ids can be copied. Where the screen is too narrow for that, each row is a list. On a
    screen a column that is empty in every row is left out; in a pipe it stays.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        say((title, "bold"), f": {empty}")
        return
    if title:
        say((title, "bold"))
    if console.is_terminal:
        filled = [number for number in range(len(columns)) if any(row[number].plain for row in cells)]
        columns, cells = [columns[number] for number in filled], [[row[number] for number in filled] for row in cells]
    widths = _widths(columns, cells)
    if widths is None:
        _print_lists(columns, cells)
        return
    shown = Table(box=None, padding=(0, _GAP, 0, 0), header_style="dim", show_header=any(columns))
    for column, width in zip(columns, widths, strict=True):
        shown.add_column(column, overflow="fold", width=width)
    for row in cells:
        shown.add_row(*row)
    with console.capture() as drawn:
        console.print(shown)
    # Rich fills each line up to the width of the table.
    console.file.write("".join(f"{line.rstrip()}\n" for line in drawn.get().split("\n")[:-1]))


def _print_lists(columns: Sequence[str], cells: Iterable[Sequence[Text]]) -> None:
    """Print each row as its first cell, and the others below it behind their names."""
    names = max((len(column) for column in columns[1:]), default=0)
    for first, *others in cells:
        first.stylize("bold")
        _print_wrapped(Text.assemble((f"{columns[0]} " if columns[0] else "", "dim"), first), len(_LIST), console)
        for column, cell in zip(columns[1:], others, strict=True):
            if cell.plain:
                margin = len(_LIST) + names + 2
                # An id that is too long to stand beside the names stands below.
                if margin + _longest_word([cell]) > console.width:
                    margin = len(_LIST) + 2
                _print_wrapped(Text.assemble(_LIST, (f"{column:<{names}}  " if names else "", "dim"), cell), margin, console)


def say(*parts: str | tuple[str, str], indent: int = 0, on: RichConsole | None = None) -> None:
    """Print a text literally; a part may be a pair of text and style.

    On a terminal a long text continues below, indented by `indent` columns. Lines break between words only, and never in a pipe.
    """
    styled = ((part, "") if isinstance(part, str) else part for part in parts)
    _print_wrapped(Text.assemble(*((printable_lines(content), style) for content, style in styled)), indent, on or console)


def _print_wrapped(text: Text, indent: int, screen: RichConsole) -> None:
    if screen.is_terminal:
        text = text[:indent] + Text(f"\n{' ' * indent}").join(_lines(text[indent:], max(_COLUMN_COLUMNS, screen.width - indent)))
    screen.print(text, soft_wrap=True)


def _lines(text: Text, width: int) -> Iterator[Text]:
    """Return the lines of a text, broken between words where they are wider than `width` columns. Rich would break words, too."""
    for line in text.split("\n", allow_blank=True):
        breaks: list[int] = []
        column = len(line.plain) - len(line.plain.lstrip())
        for word in _WORD.finditer(line.plain):
            if column + cell_len(word[0].rstrip()) > width and word.start():
                breaks.append(word.start())
                column = 0
            column += cell_len(word[0])
        for piece in line.divide(breaks):
            piece.rstrip()
            yield piece


def _widths(columns: Sequence[str], cells: Sequence[Sequence[Text]]) -> list[int] | None:
    """Return how wide each column of a table is drawn, so that no word is broken; None where the screen is too narrow for that.

    Rich does not keep to least widths where it must shrink columns.
    """
    wanted = [max(cell_len(column), *(row[number].cell_len for row in cells)) for number, column in enumerate(columns)]
    widths = [
        min(want, max(cell_len(column), _longest_word(row[number] for row in cells), _COLUMN_COLUMNS))
        for number, (column, want) in enumerate(zip(columns, wanted, strict=True))
    ]
    spare = console.width - sum(widths) - _GAP * len(widths)
    while spare > 0 and (narrow := [number for number, width in enumerate(widths) if width < wanted[number]]):
        for number in narrow[:spare]:
            widths[number] += 1
            spare -= 1
    return widths if spare >= 0 else None


def _longest_word(cells: Iterable[Text]) -> int:
    return max((Text(word).cell_len for cell in cells for word in cell.plain.split(" ")), default=0)


def _cell(value: object) -> Text:
    if isinstance(value, Text):
        return value
    if isinstance(value, datetime):
        return Text(f"{value:%Y-%m-%d %H:%M}")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    return Text("" if value is None else printable(" ".join(str(value).split("\n"))))
