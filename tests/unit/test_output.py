"""What strangers wrote is shown as it is: no markup, nothing that moves the terminal."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.text import Text

from config.words import printable
from daemon.cli import output
from daemon.cli.models import versions as models
from daemon.cli.output import print_json, table
from registry.reports.cards import Section
from registry.versions import Lineage

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


LONG = "news-topics-20260101T000000-" + "f" * 40


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output is a terminal of 80 columns."""
    monkeypatch.setattr(output, "console", output.Console(highlight=False, force_terminal=True, width=80))


def test_through_a_pipe_nothing_is_folded(capsys: pytest.CaptureFixture[str]) -> None:
    table("Rows", ("id", "other", "why"), [(LONG, LONG, "many words " * 30)])
    output.console.print("status: " + " ".join([LONG] * 9))
    heading, _head, row, status = capsys.readouterr().out.splitlines()
    assert heading == "Rows"
    assert row.split()[:2] == [LONG, LONG]
    assert status.count(LONG) == 9


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("columns", [1, 2, 3], ids="{} columns".format)
def test_on_a_narrow_terminal_ids_stay_whole(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["id", "other", "third"][:columns]
    table("Rows", (*names, "why"), [(*[LONG] * columns, "many words " * 30)])
    shown = Text.from_ansi(capsys.readouterr().out).plain
    assert shown.count(LONG) == columns
    assert "".join(shown.split()).count("manywords") == 30
    assert all(name in shown for name in names)


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("value", STRANGE, ids=ascii)
def test_a_list_is_as_inert_as_a_table(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    table("Rows", ("id", "what"), [(LONG, value), (LONG, LONG)])
    shown = Text.from_ansi(capsys.readouterr().out.replace("\x1b[2J", "GONE")).plain
    assert "GONE" not in shown
    assert printable(value) in shown


def test_in_a_pipe_the_longest_reason_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    table("Rows", ("id", "why"), [("a", "many words " * 3_000), ("b", "few")])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["Rows", "id", "a", "b"]


def test_in_a_pipe_a_column_without_content_stays(capsys: pytest.CaptureFixture[str]) -> None:
    table("Rows", ("id", "nothing", "more"), [("a", None, 1)])
    assert capsys.readouterr().out.splitlines()[1].split() == ["id", "nothing", "more"]


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_it_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    table("Rows", ("id", "nothing", "more"), [("a", None, True), ("b", "", False)])
    assert [line.split() for line in Text.from_ansi(capsys.readouterr().out).plain.splitlines()[1:]] == [
        ["id", "more"], ["a", "yes"], ["b", "no"],
    ]  # fmt: skip


@pytest.mark.usefixtures("terminal")
def test_a_table_that_fits_only_just_breaks_no_word(capsys: pytest.CaptureFixture[str]) -> None:
    words, command = "/srv/a/folder/of/the/user/whose/name/is/long, and more", "start one with `perennial run`; until then " * 3
    table("Rows", ("", "check", "found", "what to do"), [("warning", "data folder", words, command), ("ok", "port", words, "")])
    shown = Text.from_ansi(capsys.readouterr().out).plain
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert (shown.count("`perennial"), shown.count("/srv/a/folder/of/the/user/whose/name/is/long,")) == (3, 2)


@pytest.mark.usefixtures("terminal")
def test_a_sentence_goes_on_behind_its_margin(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("  next run  ", ("not due", "green"), f": {'some words ' * 9}{LONG} \x1b[2Jand more", indent=12)
    first, *others = Text.from_ansi(capsys.readouterr().out.replace("\x1b[2J", "GONE")).plain.splitlines()
    assert first.startswith("  next run  not due: some words")
    assert all(line.startswith(" " * 12) and line[12] != " " for line in others)
    assert f"{' ' * 12}{LONG}" in others
    assert "GONE" not in "".join(others)


def test_json_holds_plain_values(capsys: pytest.CaptureFixture[str]) -> None:
    lineage = Lineage(training_set_sha256="a", seed=1, settings={"task": {"name": "x"}}, code="")
    print_json({"lineage": lineage, "names": frozenset({"b", "a"}), "at": datetime(2024, 5, 1, tzinfo=UTC), "path": Path("/x")})
    found = json.loads(capsys.readouterr().out)
    assert found["lineage"]["settings"] == {"task": {"name": "x"}}
    assert (found["names"], found["at"], found["path"]) == (["a", "b"], "2024-05-01T00:00:00Z", "/x")


@pytest.mark.usefixtures("terminal")
def test_a_card_on_a_narrow_terminal_keeps_ids_whole_and_shows_no_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    models.print_card(
        [
            Section("desk/v3", (f"Champion; made by run `{LONG}`.",)),
            Section("Verdict", ("**Promoted.** The run began because: \x1b[2J.",), ("20.0 points better",)),
            Section("Files", (), (), ("", ""), (("Manifest SHA-256", f"`{'a' * 64}`"), ("Size", "1.0 MiB"))),
        ]
    )
    shown = Text.from_ansi(capsys.readouterr().out).plain
    for part in (LONG, "a" * 64, "Promoted. The run", "- 20.0 points better", "1.0 MiB"):
        assert part in shown
    assert not set(shown) & set("`*|\x1b")


def test_a_difference_is_short_on_a_screen() -> None:
    assert models._short(0.77841873) == "0.7784"
    assert models._short("0123456789ab" * 5 + "0123") == "0123456789ab"
    assert [models._short(value) for value in ("topics/v1", True, 7, None)] == ["topics/v1", True, 7, None]
