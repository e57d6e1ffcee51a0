"""What the demo tells: numbered phases, each thing once, and what goes on now only on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from daemon.demo import watching
from daemon.demo.narrator import Narrator
from daemon.demo.watching import Seen
from daemon.views.models.runs import Progress, UnderWay

NAME = "news-entities-of-the-desk"
RUN = UnderWay(
    run_id="desk-1", state="training", reason="100 new examples", kind="full", full=True, failures=0, error=None,
    retry_at=None, progress=Progress(phase="training", step=3, steps=9),
)  # fmt: skip


def told(console: Console) -> list[str]:
    written = console.file
    assert isinstance(written, io.StringIO)
    return [line.rstrip() for line in written.getvalue().splitlines()]


def test_phases_are_numbered_and_what_moves_is_left_out_of_a_file() -> None:
    console = Console(file=io.StringIO(), width=60)
    with Narrator(console) as narrator:
        narrator.phase("Start")
        narrator.say("A daemon", (" is up", "bold"), ".")
        narrator.show([watching.counted(NAME, 3, 9)])
        narrator.phase("Drift")
    lines = told(console)
    assert [line.split()[:2] for line in lines if line.endswith(" s")] == [["1", "Start"], ["2", "Drift"]]
    assert "    A daemon is up." in lines
    assert not any(NAME in line for line in lines)


@pytest.mark.parametrize("columns", [40, 80])
def test_what_moves_stays_in_its_lines_on_a_terminal(columns: int) -> None:
    console = Console(file=io.StringIO(), width=columns, force_terminal=True, color_system=None)
    with Narrator(console) as narrator:
        narrator.show([watching.counted(NAME, 3, 9), watching.at_work(Seen(NAME, None, RUN, ()))])
        before = len(told(console))
        narrator.show([watching.counted(NAME, 3, 9), watching.at_work(Seen(NAME, None, RUN, ()))])
        assert len(told(console)) == before, "the same is not drawn again"
    shown = [Text.from_ansi(line).plain for line in told(console)]
    assert max(map(len, shown)) < columns
    assert any("3 of 9" in line for line in shown) == (columns == 80)


def test_a_bar_is_full_at_what_is_needed() -> None:
    assert watching.counted("desk", 70, 60).plain.endswith("60 of 60 new examples")
    waits, works = (watching.at_work(Seen("desk", None, run, ())) for run in (None, RUN))
    assert waits.plain.split() == ["desk", "waits"]
    assert works.plain.endswith("training 3 of 9")
