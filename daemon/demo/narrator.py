"""Tells the demo: numbered phases, sentences below them, and on a terminal a few last lines that move."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

_INDENT = 4


class Narrator:
    """Prints each thing once; `show` draws what is there only until something else is told."""

    def __init__(self, console: Console) -> None:
        self._console = console
        # Drawn when something has changed, not by a clock: the processes of the demo need the cores.
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._shown: list[str] = []
        self._began = time.monotonic()
        self._phases = 0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def phase(self, title: str) -> None:
        """Begin the next phase."""
        self.show([])
        self._phases += 1
        heading = Table.grid(expand=True)
        heading.add_column(width=_INDENT)
        heading.add_column()
        heading.add_column(ratio=1)
        heading.add_column(justify="right", no_wrap=True)
        heading.add_row(
            Text(str(self._phases), "bold cyan"),
            Text(f"{title} ", "bold"),
            Rule(style="dim"),
            Text(f" {self.seconds:.0f} s", "dim"),
        )
        self._out.print()
        self._out.print(heading)

    def say(self, *parts: str | tuple[str, str] | Text) -> None:
        """Print a sentence; a part is a text, or one with its style."""
        self._out.print(Padding(Text.assemble(*parts), (0, 0, 0, _INDENT)))

    def show(self, lines: Sequence[Text]) -> None:
        """Draw what goes on now, in place of what was drawn before; nothing where the output is no terminal."""
        if self._live is None or self._shown == [line.plain for line in lines]:
            return
        self._shown = [line.plain for line in lines]
        drawn = [Text(), *lines] if lines else []
        for line in drawn:
            line.pad_left(_INDENT)
            line.truncate(self._console.width - 1, overflow="ellipsis")
        self._live.update(Group(*drawn), refresh=True)

    @property
    def seconds(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._began

    @property
    def _out(self) -> Console:
        return self._live.console if self._live is not None else self._console
