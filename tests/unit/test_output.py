"""What strangers wrote is shown as it is: no markup, nothing that moves the terminal."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from rich.text import Text

from daemon.commands.output import printable, table

STRANGE = ["[/]", "[bold]x[/red]", "auth0|x [link=http://x]y", "\x1b[2J", "a\u202eb", "\x9b31m", "tab\there"]


@pytest.mark.parametrize("value", STRANGE, ids=ascii)
def test_a_cell_is_inert(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    table("Rows", ("id", "at", ""), [(value, datetime(2024, 5, 1, tzinfo=UTC), None)])
    shown = capsys.readouterr().out
    assert printable(value) in shown
    assert not set(shown) & set("\x1b\x9b\u202e\t")
    assert "2024-05-01 00:00" in shown


def test_markup_of_our_own_is_marked_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    table("Rows", ("level",), [(Text.from_markup("[green]ok[/]"),), ("two\nlines",)])
    shown = capsys.readouterr().out
    assert "ok" in shown
    assert "[green]" not in shown
    assert "two lines" in shown
