"""What `perennial status` prints: plain sentences, no zeros, nothing that moves the terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import pytest

from consumers.training_set.held_out_share import held_out_share
from daemon.cli.operations.status import print_status
from daemon.views.feedback.overview import Alarm, Standings
from daemon.views.installation.alerts import Alert
from daemon.views.installation.flow import Backlog
from daemon.views.installation.status import Status
from daemon.views.models.runs import VERDICTS, Ended, UnderWay
from daemon.views.task.pairs import Pair
from daemon.views.task.task_status import Counts, HeldOut, TaskStatus, anchor_in_words, due_in_words
from registry.runs import Verdict

NO_EXAMPLES = Counts(
    train=0, new=0, new_labels=0, new_weight=0.0, new_confirmed_weight=0.0, test=0, test_in_window=0, new_test=0, anchor=0,
    corrections=0, waiting=0, unenriched=0, oldest_new_at=None, oldest_new_label_at=None, enough_since=None, max_seq=0,
)  # fmt: skip
NO_FEEDBACK = Standings(standings={}, alarms=(), quarantined=0)
NO_BACKLOG = Backlog(texts=0, since=None)
TASK = TaskStatus(
    task="desk", kind="classification", champion=None, champion_since=None, pinned=False, counts=NO_EXAMPLES, tests_needed=200,
    feedback=NO_FEEDBACK, new_examples=0, new_weight=0.0, due=False, reasons=("3 of 100 new examples",), texts_cut=None,
    run=None, last_run=None,
)  # fmt: skip
QUIET = Status(
    at=datetime(2026, 1, 1, tzinfo=UTC), leader="me", no_leader_since=None, serving="http://127.0.0.1:8000", serving_problem=None,
    lag={"perennial.articles": 0, "perennial.feedback": 0}, log_problem=None, tables={"articles": 0, "examples": 7},
    backlog={"articles": NO_BACKLOG, "examples": NO_BACKLOG},
    enriched_per_s=None, dead_letters=0, set_aside=0, erasures=(), tasks=(TASK,),
)  # fmt: skip


def going(state: str) -> UnderWay:
    return UnderWay(
        run_id="r", state=state, reason="asked for", kind="full", full=True, progress=None, failures=0, error=None, retry_at=None
    )


def shown(status: Status, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return the printed lines by their first word."""
    print_status(status)
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.strip()]
    return {first: rest[0] if rest else "" for first, *rest in lines}


def task_with(**changes: object) -> Status:
    return QUIET.model_copy(update={"tasks": (TASK.model_copy(update=changes),)})


def test_the_pair_that_people_are_asked_about_is_told_with_how_far_that_has_come(capsys: pytest.CaptureFixture[str]) -> None:
    pair = Pair(
        state="open", candidate="desk/v2", champion="desk/v1", opened_at=None, articles=3_400, disagreement=0.18, drawn=80,
        asked=40, answered=31, left=49, looks=1,
    )  # fmt: skip
    said = shown(task_with(pair=pair), capsys)["asking"]
    assert all(figure in said for figure in ("3,400", "18 %", "40 of 80", "31", "49"))
    assert "asking" not in shown(QUIET, capsys)
    waiting = pair.model_copy(update={"state": "answering", "articles": 0, "drawn": 0, "asked": 0, "answered": 0, "left": 0})
    assert "0" not in shown(task_with(pair=waiting), capsys)["asking"]


def test_zeros_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(QUIET, capsys)
    assert lines["buffer"] == "7 examples"
    assert lines["events"] == "all read"
    assert lines["examples"] == "training rows 0, test rows 0 of 200 needed"
    assert not {"dead", "set", "feedback"} & set(lines)


@pytest.mark.parametrize(
    ("counts", "more", "told"),
    [
        ({"train": 316, "test": 68, "test_in_window": 68, "unenriched": 923}, {"new_examples": 210, "new_weight": 210.0},
         "training rows 316 (210 unused), test rows 68 of 200 needed; still preparing 923"),
        ({"train": 316, "test": 69, "test_in_window": 3, "waiting": 4}, {"new_examples": 9, "new_weight": 2.7},
         ("training rows 316 (9 unused, weighing 2.7), test rows 3 of 200 needed (66 more are older than "
          "promotion.window_days); still 4 waiting for their article")),
        ({"train": 900, "test": 240, "test_in_window": 240, "anchor": 50}, {},
         "training rows 900, test rows 240, anchor rows 50 (the oldest held-out)"),
    ],
)  # fmt: skip
def test_rows_are_told_with_what_is_needed(
    counts: dict[str, int], more: dict[str, object], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(task_with(counts=NO_EXAMPLES.model_copy(update=counts), **more), capsys)["examples"] == told


def test_each_reason_has_its_own_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_status(task_with(reasons=("3 of 100 new examples", "", "the weekly run is turned off")))
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    at = lines.index("next run  not due: 3 of 100 new examples")
    assert lines[at + 1] == "the weekly run is turned off"


def test_a_verdict_is_shown_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    ended = Ended(
        run_id="desk-1", kind="full", trigger="requested", state="decided", verdict="insufficient_evidence",
        reasons=("22 of 200 rows",), error=None, version="desk/v1", comparison=None, erased_at=None, finished_at=None,
    )  # fmt: skip
    print_status(task_with(last_run=ended))
    assert "undecided (desk/v1)" in capsys.readouterr().out
    assert set(VERDICTS) == set(get_args(Verdict))


@pytest.mark.parametrize("strange", ["\x1b[2J", "[bold]x[/red]", "a\u202eb"], ids=ascii)
def test_what_strangers_wrote_is_inert(strange: str, capsys: pytest.CaptureFixture[str]) -> None:
    alarm = Alarm(move=f"sport -> {strange}", held=50, users=1, since=datetime(2026, 1, 1, tzinfo=UTC))
    status = task_with(
        feedback=Standings(standings={"alarm": 50}, alarms=(alarm,), quarantined=0), reasons=(f"requested: {strange}",)
    )
    print_status(status.model_copy(update={"erasures": (f"erasure 1 (user {strange})",)}))
    out = capsys.readouterr().out
    assert not set(out) & set("\x1b\u202e")
    assert out.count("[bold]x[/red]") == (3 if strange.startswith("[bold]") else 0)
    assert "50 corrections by 1 user" in out


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"reasons": ("3 of 100 new examples; 97 more start a run", "", "the weekly run is turned off")},
         "Not due: 3 of 100 new examples; 97 more start a run; the weekly run is turned off."),
        ({"due": True, "reasons": ("132 new examples; a run starts at 100",)}, "Due: 132 new examples; a run starts at 100."),
        ({"run": going("training"), "reasons": ("a run is under way",)}, "A run is under way: asked for."),
        ({"run": going("interrupted"), "reasons": ("a run was interrupted",)}, "A run was interrupted."),
        ({"run": going("waiting"), "reasons": ("run r had 2 temporary failures",)}, "Run r had 2 temporary failures."),
        ({"run": going("held"), "reasons": ("paused since noon", "run r is trained")}, "Paused since noon; run r is trained."),
    ],
)  # fmt: skip
def test_one_sentence_says_why_a_run_is_due_or_not(changes: dict[str, object], told: str) -> None:
    assert due_in_words(TASK.model_copy(update=changes)) == told


def test_alerts_are_told_with_their_runbook_unless_a_line_tells_of_them_already(capsys: pytest.CaptureFixture[str]) -> None:
    found = tuple(
        Alert(name=f"Perennial{name}", severity="critical", task=None, what=name.lower()) for name in ("NoLeader", "ErasureLate")
    )
    lines = shown(QUIET.model_copy(update={"alerts": found}), capsys)
    assert lines["alert"] == "erasurelate (docs/runbooks/PerennialErasureLate.md)"


def test_what_is_held_out_is_told_while_it_is_more_than_configured(capsys: pytest.CaptureFixture[str]) -> None:
    for rows, told in ((212, True), (527, False)):
        share = held_out_share(configured=0.2, most=0.4, test_rows=rows, needed=527)
        print_status(task_with(held_out=HeldOut.model_validate(share)))
        printed = " ".join(capsys.readouterr().out.split())
        assert ("holds out 40 % of new documents because it has 212 of the 527 test rows" in printed) is told


@pytest.mark.parametrize(
    ("rows", "imported", "words"),
    [
        (0, 0, ""),
        (6, 0, "anchor rows 6 (the oldest held-out)"),
        (6, 6, "anchor rows 6 (imported)"),
        (6, 2, "anchor rows 6 (2 imported)"),
    ],
)
def test_it_says_where_anchor_rows_came_from(rows: int, imported: int, words: str) -> None:
    assert anchor_in_words(NO_EXAMPLES.model_copy(update={"anchor": rows, "anchor_imported": imported})) == words
