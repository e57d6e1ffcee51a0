"""Whatever strangers wrote, a screen shows it inert and breaks no word that fits; a pipe gets it in one line."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from config.words import printable
from daemon.cli import output
from daemon.cli.operations.status import print_status
from daemon.views.installation.status import Status
from tests.support.made_up import HOSTILE, of_type

COLUMNS = 80
WORDS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=30)
SENTENCES = st.lists(WORDS, min_size=1, max_size=12).map(" ".join)


def drawn(print_it: Callable[[], None], *, on_a_screen: bool) -> str:
    """Return what is printed: on a terminal of 80 columns without its colours, or through a pipe."""
    written = io.StringIO()
    screen = output.Console(
        highlight=False, force_terminal=on_a_screen, width=COLUMNS if on_a_screen else None, color_system=None
    )
    with contextlib.redirect_stdout(written), mock.patch.object(output, "console", screen):
        print_it()
    return written.getvalue()


def unprintable(shown: str) -> set[str]:
    return {one for one in shown if printable(one) != one} - {"\n"}


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(HOSTILE, HOSTILE, HOSTILE), min_size=1, max_size=4), on_a_screen=st.booleans())
def test_a_table_of_anything_is_inert(rows: list[tuple[str, str, str]], on_a_screen: bool) -> None:
    assert unprintable(drawn(lambda: output.table("Rows", ("id", "says", ""), rows), on_a_screen=on_a_screen)) == set()


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(WORDS, SENTENCES, SENTENCES), min_size=1, max_size=4))
def test_a_screen_breaks_no_word(rows: list[tuple[str, str, str]]) -> None:
    shown = drawn(lambda: output.table("Rows", ("id", "says", "because"), rows), on_a_screen=True)
    assert all(cell_len(line) <= COLUMNS for line in shown.splitlines())
    for row in rows:
        assert all(word in shown for cell in row for word in printable(cell).split())


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(WORDS, SENTENCES, SENTENCES), min_size=1, max_size=4))
def test_a_pipe_gets_each_row_in_one_line(rows: list[tuple[str, str, str]]) -> None:
    _title, _head, *lines = drawn(lambda: output.table("Rows", ("id", "says", "because"), rows), on_a_screen=False).splitlines()
    assert len(lines) == len(rows)
    for row, line in zip(rows, lines, strict=True):
        assert all(printable(cell) in line for cell in row)


@settings(max_examples=60, deadline=None)
@given(sentence=SENTENCES, margin=st.integers(0, 20))
def test_a_sentence_keeps_its_words_and_its_margin(sentence: str, margin: int) -> None:
    first, *others = drawn(lambda: output.say("x" * margin, sentence, indent=margin), on_a_screen=True).splitlines()
    assert all(line.startswith(" " * margin) for line in others)
    assert [word for line in (first[margin:], *others) for word in line.split()] == printable(sentence).split()
    assert all(cell_len(line) <= COLUMNS for line in (first, *others))


@settings(max_examples=20, deadline=None)
@given(status=of_type(Status), on_a_screen=st.booleans())
def test_a_status_of_anything_is_inert(status: Status, on_a_screen: bool) -> None:
    assert unprintable(drawn(lambda: print_status(status), on_a_screen=on_a_screen)) == set()
