"""What `perennial top` draws: everything that moves, in the columns and lines that there are."""

from __future__ import annotations

from datetime import timedelta

import pytest
from rich.cells import cell_len
from rich.text import Text

from config.errors import UserError
from daemon.cli.operations.top import screen_of, top
from daemon.views.installation.alerts import Alert
from daemon.views.installation.status import Status
from daemon.views.models.runs import Ended, Progress, UnderWay
from tests.unit.test_told_status import NO_EXAMPLES, QUIET, TASK

RUN = UnderWay(
    run_id="desk-2", state="training", reason="104 new examples", kind="incremental", full=False,
    progress=Progress(phase="training", step=30, steps=120), ends_in_s=75.0, failures=0, error=None, retry_at=None,
)  # fmt: skip
ENDED = Ended(
    run_id="desk-1", kind="full", trigger="requested", state="decided", verdict="promote", reasons=("Better by 6 points.",),
    error=None, version="desk/v1", comparison=None, erased_at=None, finished_at=QUIET.at - timedelta(hours=2),
)  # fmt: skip


def drawn(found: Status | None, width: int = 120, height: int = 40, trouble: str = "") -> list[str]:
    return screen_of(found, width, height, trouble=trouble).plain.split("\n")


def test_a_task_shows_its_buffer_run_verdict_and_champion() -> None:
    counts = NO_EXAMPLES.model_copy(update={"test_in_window": 100})
    task = TASK.model_copy(
        update={
            "champion": "desk/v1", "champion_since": QUIET.at - timedelta(minutes=90), "counts": counts, "new_weight": 50.0,
            "needed": 100, "run": RUN, "last_run": ENDED,
        }
    )  # fmt: skip
    lines = drawn(QUIET.model_copy(update={"tasks": (task,), "stored_per_s": 12.34}))
    text = "\n".join(lines)
    assert "daemon me  serving 127.0.0.1:8000" in lines[0]
    assert "events 12.3/s, all read" in lines[1]
    assert "desk (classification)  desk/v1 since 1 h 30 min ago" in text
    assert f"new examples {'━' * 8}{'─' * 8} 50 of 100" in text
    assert f"test rows {'━' * 8}{'─' * 8} 100 of 200" in text
    assert f"run   incremental, training {'━' * 4}{'─' * 12} 30 of 120, about 1 min 15 s left" in text
    assert "last  promoted desk/v1, 2 h ago: Better by 6 points." in text
    assert "next" not in text
    narrow = drawn(QUIET.model_copy(update={"tasks": (task,)}), width=80)
    assert any(f"test rows {'━' * 4}{'─' * 4} 100 of 200" in line for line in narrow), "a usual terminal shows both counts whole"


def test_without_a_run_it_says_what_the_next_one_waits_for() -> None:
    (line,) = (line for line in drawn(QUIET) if line.startswith("  next"))
    assert "3 of 100 new examples" in line


def test_what_is_wrong_stands_above_the_tasks() -> None:
    alert = Alert(name="PerennialNoLeader", severity="critical", task=None, what="no daemon has run")
    lines = drawn(QUIET.model_copy(update={"leader": None, "alerts": (alert,), "log_problem": "no broker", "dead_letters": 3}))
    assert "no daemon runs" in lines[0]
    assert "log unreadable" in lines[1]
    assert "3 dead letters" in lines[1]
    assert lines[2] == "critical  no daemon has run (PerennialNoLeader)"


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 10), (20, 3), (200, 60)])
def test_nothing_is_wider_or_longer_than_the_window(width: int, height: int) -> None:
    tasks = tuple(TASK.model_copy(update={"task": f"desk-{n}", "run": RUN, "last_run": ENDED}) for n in range(30))
    lines = drawn(QUIET.model_copy(update={"tasks": tasks}), width, height)
    assert len(lines) <= height
    assert max(cell_len(line) for line in lines) <= width
    if height in (24, 60):
        assert "more tasks" in lines[-1]


def test_foreign_text_moves_nothing_on_the_screen() -> None:
    ended = ENDED.model_copy(update={"reasons": ("a\x1b[2Jb\nc",)})
    found = QUIET.model_copy(update={"tasks": (TASK.model_copy(update={"last_run": ended}),)})
    assert "\x1b" not in "".join(drawn(found))
    assert len(drawn(found)) == len(drawn(QUIET)) + 1


def test_while_nothing_can_be_read_the_last_look_stays_and_says_why() -> None:
    assert any("the registry is locked" in line for line in drawn(QUIET, trouble="the registry is locked"))
    assert "the registry is locked" in "".join(drawn(None, trouble="the registry is locked"))
    assert isinstance(screen_of(None, 80, 24), Text)


def test_where_there_is_no_terminal_it_names_the_command_that_prints() -> None:
    with pytest.raises(UserError, match="perennial status --watch"):
        top()
