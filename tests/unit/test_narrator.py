"""What the demo tells where no terminal shows a panel: what changed, once."""

from __future__ import annotations

import io
from typing import cast

import pytest
from rich.console import Console

from daemon.demo import narrator
from daemon.demo.installation import Installation
from daemon.views.models.runs import Progress, UnderWay
from daemon.views.status import Status
from tests.unit.test_told_status import QUIET, TASK

RUN = UnderWay(
    run_id="desk-1", state="training", reason="100 new examples", kind="full", full=True, failures=0, error=None,
    retry_at=None, progress=Progress(phase="training", step=3, steps=9),
)  # fmt: skip


class Statuses:
    """Gives one status after the other, as an installation does."""

    def __init__(self, *statuses: Status) -> None:
        self._left = list(statuses)

    def status(self) -> Status:
        return self._left.pop(0)


def test_counts_and_stages_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narrator, "_PLAIN_INTERVAL_S", -1.0)
    training = TASK.model_copy(update={"run": RUN})
    at_work = QUIET.model_copy(update={"tables": {"examples": 30}, "tasks": (training,)})
    growing = [QUIET.model_copy(update={"tables": {"examples": count, "requests": 0}}) for count in (10, 20, 30, 30, 30)]
    told = io.StringIO()
    with narrator.Narrator(
        Console(file=told, width=200),
        cast("Installation", Statuses(*growing, *[at_work] * 3)),
        ["desk"],
    ) as telling:
        for _ in range(8):
            telling.look()
    lines = [line.split(" s ", 1)[1].strip() for line in told.getvalue().splitlines()]
    assert lines == ["buffer: 30 examples", "desk full run starts: 100 new examples", "desk: training, step 3 of 9"]


@pytest.mark.parametrize("columns", [60, 80])
def test_the_panel_keeps_names_whole_on_a_narrow_terminal(columns: int) -> None:
    name = "news-entities-of-the-desk"
    counts = TASK.counts.model_copy(update={"train": 125, "test": 315, "unenriched": 20})
    task = TASK.model_copy(update={"task": name, "champion": f"{name}/v17", "counts": counts, "new_examples": 24})
    shown = Console(file=io.StringIO(), width=columns)
    telling = narrator.Narrator(shown, cast("Installation", Statuses()), [name])
    shown.print(telling._panel(QUIET.model_copy(update={"tasks": (task,)})))
    lines = [line.rstrip() for line in cast("io.StringIO", shown.file).getvalue().splitlines()]
    words = " ".join(lines).split()
    assert {name, f"{name}/v17"} <= set(words), "an id is never cut or folded"
    assert "    3 of 100 new examples" in lines
    assert {"125", "(24", "315,", "20"} <= set(words)
    assert max(map(len, lines)) <= columns
