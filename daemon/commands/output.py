"""What every command prints with: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

console = Console(highlight=False)


def print_json(value: object) -> None:
    """Print one JSON document; moments as ISO 8601."""
    sys.stdout.write(json.dumps(value, indent=2, default=_plain, ensure_ascii=False) + "\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str = "none") -> None:
    """Print a table, or `empty` where there are no rows; moments in UTC, to the minute.

    Text in a cell is shown as it is, whatever it holds: ids and reasons come from strangers. For markup give a `rich.text.Text`.
    """
    shown = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        shown.add_column(column, overflow="fold")
    count = 0
    for row in rows:
        shown.add_row(*map(_cell, row))
        count += 1
    if count:
        console.print(shown)
    else:
        console.print(f"[bold]{title}[/]: {empty}")


def _plain(value: object) -> str:
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else str(value)


def printable(text: str) -> str:
    """Return a text in which nothing moves the terminal: what cannot be printed stands as U+FFFD."""
    # The joiners that Persian and Indic words need are no danger.
    return "".join(one if one.isprintable() or one in "\u200c\u200d" else "\N{REPLACEMENT CHARACTER}" for one in text)


def _cell(value: object) -> Text:
    if isinstance(value, Text):
        return value
    if isinstance(value, datetime):
        return Text(f"{value:%Y-%m-%d %H:%M}")
    return Text("" if value is None else printable(" ".join(str(value).split("\n"))))
