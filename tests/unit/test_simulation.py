"""When a replay looks, how its figures are drawn and printed, and what it tells of why rows left training."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from config.errors import UserError
from config.sections import ScheduleSettings
from config.settings import load_settings
from consumers.history.past import Seen, _firm, microseconds, moment
from consumers.rows import moves
from consumers.rows.eligibility import WITHDRAWN
from daemon.cli import output
from daemon.cli.main import app
from daemon.operations.simulating import plot
from daemon.operations.simulating import simulate as playing
from daemon.operations.simulating.looks import Looks
from daemon.operations.simulating.quality import edges
from daemon.operations.simulating.ways import REAL, SAMPLED
from daemon.training.due.trigger_input import Evidence
from daemon.views.models.comparison import Scale
from daemon.views.models.simulation import Difference, Period, PlayedRun, PolicyPlayed, Reproduction, Simulation
from tests.support.buffers import ENTITIES, TOPICS
from tests.support.cycles import task

NOW = datetime(2024, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SCHEDULE: ScheduleSettings = load_settings().schedule.model_copy(update={"weekly": False, "check_interval_s": 60.0})


def past(rows: int, *, requests: tuple[int, ...] = ()) -> Any:
    """One row an hour, numbered from 1."""
    asked = np.array([microseconds(NOW + hour * HOUR) for hour in requests], np.int64)
    return SimpleNamespace(
        numbers=np.arange(1, rows + 1), moments=np.array([microseconds(NOW + n * HOUR) for n in range(rows)]),
        request_moments=lambda: asked,
    )  # fmt: skip


def seen(**changes: Any) -> Evidence:
    values: dict[str, Any] = {
        "new_examples": 0, "new_weight": 0.0, "train_examples": 0, "oldest_new_at": None, "has_champion": False, "running": False,
        "first_run_at": None, "last_run_at": None, "used_keys": frozenset(), "newest_seq": 0,
    }  # fmt: skip
    return Evidence(**values | changes)


def following(
    rows: int, evidence: Evidence, *, after: float = 0.0, frozen: int = 0, refreshed: int = 0, **changes: Any
) -> float | None:
    """The next look, in hours."""
    spec = task(trigger={"min_new_examples": 10, "cooldown_minutes": 90, "max_age_days": 1, "max_age_min_examples": 3}, **changes)
    at = Looks(past(rows, requests=(7,)), SCHEDULE).following(
        spec, evidence, NOW + after * HOUR, frozen=frozen, refreshed=refreshed
    )
    return None if at is None else (at - NOW) / HOUR


def test_a_look_waits_for_as_many_rows_as_can_start_a_run() -> None:
    # The tenth row comes nine hours after the first; a request comes before.
    assert following(30, seen()) == 7
    assert following(30, seen(), after=7) == 9
    # Enough rows were not enough weight: each further row may do.
    assert following(30, seen(), after=9) == 10
    assert following(30, seen(), after=12, frozen=12) == 21


def test_a_look_comes_when_a_cooldown_is_over_or_examples_are_old() -> None:
    assert following(100, seen(last_run_at=NOW + 8 * HOUR), after=8, frozen=9) == 9.5
    assert following(12, seen(oldest_new_at=NOW + 4 * HOUR), after=12) == 28
    # Where age alone may start a run, few rows do.
    assert following(40, seen(oldest_new_at=NOW), after=25, frozen=25) == 27


def test_a_look_for_a_refresh_or_for_missing_test_rows_waits_for_fewer_rows() -> None:
    refresh = {"refresh": {"enabled": True, "min_new_examples": 2}}
    assert following(40, seen(has_champion=True), after=10, frozen=10, refreshed=11, **refresh) == 12
    assert following(40, seen(undecided_rows=4), after=10, frozen=11) == 11


def test_after_the_last_row_there_is_no_look() -> None:
    assert following(5, seen(), after=7) is None


def test_rows_were_known_when_the_record_says_that_they_were_seen() -> None:
    came = np.array([microseconds(NOW)] * 6)
    # The daemon knew three rows after an hour, and no more: the others waited to be enriched.
    found = _firm(np.arange(1, 7), came, [Seen(NOW + HOUR, 3)])
    assert [moment(at) - NOW for at in found[:3]] == [timedelta(0)] * 3
    assert all(moment(at) > NOW + HOUR for at in found[3:])
    assert moment(microseconds(NOW + timedelta(microseconds=7))) == NOW + timedelta(microseconds=7)


def test_why_a_row_left_training_is_read_as_it_was_written() -> None:
    assert moves.cause(moves.tied_to_story("s by row x", "row 1")) == "tied"
    assert moves.tied_by(moves.tied_to_story("s", "row 1")) == "row 1"
    assert moves.cause(moves.beside_held_out("d is held out")) == "beside"
    assert moves.cause(moves.held_out_to_measure("label A", 1, 9)) == "freeze"
    assert moves.cause(moves.near_document("d")) == "freeze"
    assert moves.cause(f"{WITHDRAWN}the rule has changed") == "withdrawn"
    assert moves.cause(None) is moves.cause("set aside by Perennial 0: a fault") is None


def test_sampled_training_is_cheap_and_says_what_it_does() -> None:
    assert SAMPLED.task(TOPICS).training.tuning == "never"
    assert SAMPLED.task(TOPICS).trigger == TOPICS.trigger
    assert (SAMPLED.task(ENTITIES).training.epochs, SAMPLED.task(ENTITIES).training.full_epochs) == (1, 1)
    assert "tunes nothing" in SAMPLED.told(TOPICS)
    assert "1,000 rows" in SAMPLED.told(ENTITIES)
    assert REAL.task(TOPICS) is TOPICS


def test_periods_cover_the_history() -> None:
    found = edges(NOW, NOW + 6 * HOUR, 3)
    assert found == [NOW, NOW + 2 * HOUR, NOW + 4 * HOUR, NOW + 6 * HOUR]
    assert edges(NOW, NOW, 0) == []


def made(*, stopped: bool = False, policies: int = 2, measured: bool = True) -> Simulation:
    def run(number: int) -> PlayedRun:
        return PlayedRun(
            key=f"threshold:{number}", kind="incremental", at=NOW + number * HOUR, waited_days=1.5, state="decided",
            verdict="promote" if number % 2 else "insufficient_evidence", why="because", version=f"news-topics/v{number}",
            rows=300,
            candidate_score=0.61, champion_score=0.55, cpu_s=12.5,
        )  # fmt: skip

    def period(number: int) -> Period:
        since = NOW + number * 8 * HOUR
        return Period(
            since=since, until=since + 8 * HOUR, champion="news-topics/v1" if number else None, rows=40 if number else 0,
            score=0.5 + number / 20 if number and measured else None,
        )  # fmt: skip

    difference = Difference(
        run_id="news-topics-20240501T000000-abcdef", key="threshold:9", what="verdict", missing=("row-1",),
        told="promote on record, keep here; the buffer no longer has 1 row that its version learnt from: row-1",
    )  # fmt: skip
    played = [
        PolicyPlayed(
            name=("current", "a-much-stricter-policy", "third", "fourth")[number],
            differs={"trigger.min_new_examples": (100, 300)} if number else {}, complete=not stopped,
            runs=tuple(run(n) for n in range(6 - number)), periods=tuple(period(n) for n in range(3)), cpu_s=75.0,
            mean_wait_days=1.5, longest_wait_days=2.0, labels_asked=40, promotions=3, quality=0.575 if measured else None,
            recorded=None if number else Reproduction(runs=6, keys=6, training_sets=5, verdicts=5, differences=(difference,)),
        )
        for number in range(policies)
    ]  # fmt: skip
    return Simulation(
        task="news-topics", training="sampled", training_told=SAMPLED.told(TOPICS), time="arrival", since=NOW,
        until=NOW + 24 * HOUR, examples=1234, metric="macro_f1", scale=Scale(title="macro F1"), policies=tuple(played),
        notes=("versions on record learnt from 1 row that the buffer no longer has (erased, or past its retention): row-1",),
        stopped=stopped, seconds=3.0,
    )  # fmt: skip


@pytest.mark.parametrize("measured", [True, False])
def test_the_plot_has_both_colour_schemes_each_policy_and_no_foreign_address(measured: bool) -> None:
    drawn = plot.drawn(made(measured=measured))
    root = ET.fromstring(drawn)  # noqa: S314 - drawn here
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme: dark" in drawn
    for name in ("current", "a-much-stricter-policy", "sampled training"):
        assert name in drawn
    assert ("not measured" in drawn) is not measured, "an empty plot says why it is empty"
    assert re.findall(r"#[0-9a-f]{6}", drawn.split("</style>")[1]) == []
    assert set(re.findall(r"https?://[^\"\s]+", drawn)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Commands play nothing and show what `found` is; `asked` is what they asked for."""
    held: dict[str, Any] = {"found": made()}

    def instead(_settings: Any, name: str, policies: list[str], **given: Any) -> Simulation:
        held["asked"] = (name, policies, given)
        if isinstance(held["found"], UserError):
            raise held["found"]
        found: Simulation = held["found"]
        return found

    monkeypatch.setattr(playing, "simulate", instead)
    monkeypatch.setattr("trainers.job.guards.step_back", lambda _nice: None)
    monkeypatch.setattr("daemon.operations.training_now.quiet_log", lambda _settings: None)
    return held


def test_the_command_prints_each_policy_in_80_columns(simulated: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.console, "_force_terminal", True)
    monkeypatch.setattr(output.console, "size", (80, 40))
    done = CliRunner().invoke(app, ["simulate", "--task", "news-topics", "--policy", "current", "--policy", "other.yaml"])
    assert done.exit_code == 0, done.output
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", done.output)
    assert max(map(len, plain.splitlines())) <= 80
    for word in ("current", "a-much-stricter-policy", "threshold:3", "refreshes", "labels", "row-1", "not all repeated"):
        assert word in plain
    name, policies, given = simulated["asked"]
    assert (name, policies, given["by"], given["periods"]) == ("news-topics", ["current", "other.yaml"], "arrival", 12)
    assert given["ways"] is REAL


def test_the_command_says_why_runs_failed(simulated: dict[str, Any]) -> None:
    (one,) = made(policies=1).policies
    failed = one.runs[0].model_copy(update={"state": "failed", "verdict": None, "why": "the child ran out of memory"})
    simulated["found"] = made(policies=1).model_copy(
        update={"policies": (one.model_copy(update={"runs": (failed,) * 5 + one.runs[1:]}),)}
    )
    done = CliRunner().invoke(app, ["simulate", "--task", "news-topics"])
    assert done.output.count("the child ran out of memory") == 3
    assert "2 more failed runs" in " ".join(done.output.split())


def test_a_stopped_command_prints_what_was_done_and_ends_with_130(simulated: dict[str, Any], tmp_path: Path) -> None:
    simulated["found"] = made(stopped=True)
    picture = tmp_path / "plot.svg"
    done = CliRunner().invoke(app, ["simulate", "--task", "news-topics", "--training", "sampled", "--plot", str(picture)])
    assert done.exit_code == 130
    assert "stopped" in done.output
    assert picture.read_text(encoding="utf-8").startswith("<svg")
    assert simulated["asked"][2]["ways"] is SAMPLED


def test_json_has_every_run(simulated: dict[str, Any]) -> None:
    done = CliRunner().invoke(app, ["simulate", "--task", "news-topics", "--json"])
    assert Simulation.model_validate_json(done.stdout) == simulated["found"]


@pytest.mark.parametrize(
    "given", [["--plot", "plot.png"], ["--policy", "a", "--policy", "b", "--policy", "c", "--policy", "d", "--policy", "e"]]
)
def test_bad_options_are_refused_before_anything_is_read(simulated: dict[str, Any], given: list[str]) -> None:
    done = CliRunner().invoke(app, ["simulate", "--task", "news-topics", *given])
    assert isinstance(done.exception, UserError)
    assert "asked" not in simulated


def test_missing_rows_are_named_in_order() -> None:
    class Tables:
        def scan(self, *_what: Any) -> pa.Table:
            return pa.table({"row_id": ["a", "c"]})

    from consumers.history.past import Past  # noqa: PLC0415 - this test alone goes around its constructor

    held = Past.__new__(Past)
    held.tables = Tables()  # type: ignore[assignment]  # all that is asked of it
    assert held.missing(pa.array(["c", "b", "a", "0"])) == ["0", "b"]
