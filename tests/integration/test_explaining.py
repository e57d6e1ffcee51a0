"""Why a task did or did not train and promote, when it will, and lineage both ways: by command and HTTP, over real stores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from config.errors import UserError
from config.settings import environment_of
from daemon.cli.main import app
from daemon.process.probe import Computing
from daemon.training.due import evidence
from daemon.training.due.trigger_input import Evidence
from daemon.views.models import lineage
from daemon.views.task import explaining, task_status
from daemon.views.task.explanation import Explanation
from registry import lineage as queries
from tests.support.cycles import NAME, task
from tests.support.proven import scored
from tests.support.registries import add_version
from tests.support.towns import Town


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A champion that learnt a correction, then a candidate that goes on from it and is undecided."""
    folder = tmp_path_factory.mktemp("explained")
    with Town(folder, train=scored) as made:
        made.tasks[NAME] = task(promotion={"metric": "accuracy", "min_test_examples": 5, "max_latency_ratio": 1000.0})
        made.champion_with_feedback()
        made.clock.forward(3600)
        made.tasks[NAME] = task(promotion={"metric": "accuracy", "min_test_examples": 40, "max_latency_ratio": 1000.0})
        made.train_with(partial(scored, right=0.9, opponent_right=0.8))
        made.grow(10)
        made.ask("request:second")
        made.clock.forward(2 * 86_400)
        made.grow(4, "later")
        tasks = folder / "tasks"
        tasks.mkdir()
        (tasks / "toy.yaml").write_text(yaml.safe_dump(made.tasks[NAME].model_dump(mode="json")), encoding="utf-8")
        made.settings = made.settings.model_copy(update={"tasks_dir": str(tasks)})
        yield made


@pytest.fixture
def here(town: Town, monkeypatch: pytest.MonkeyPatch) -> Town:
    for name, value in environment_of(town.settings).items():
        monkeypatch.setenv(name, value)
    return town


def explained(town: Town, **changes: Any) -> Explanation:
    spec = town.tasks[NAME].model_copy(update=changes)
    now = town.clock()
    status = task_status.read(spec, town.registry, town.buffer, town.settings, unread=0, led=True, now=now, computing=Computing())
    return explaining.read(spec, status, town.registry, town.buffer, town.settings, unread=0, now=now)


def test_it_says_why_no_run_is_due_and_when_one_will_be(town: Town) -> None:
    found = explained(town)
    assert (found.champion, found.retraining.due) == (f"{NAME}/v1", False)
    assert found.retraining.sentence.startswith("Not due: 4 of 10 new examples")
    expected = found.retraining.expected
    # 4 in two days; 6 more at that pace take 3.
    assert expected.cause == "threshold"
    assert expected.at == (town.clock() + timedelta(days=3)).replace(microsecond=0)
    assert "2.0 new examples a day" in expected.assumption


def test_a_sooner_date_wins(town: Town) -> None:
    trigger = town.tasks[NAME].trigger
    aged = explained(town, trigger=trigger.model_copy(update={"max_age_days": 1.0, "max_age_min_examples": 5}))
    assert aged.retraining.expected.cause == "age"
    weekly = explained(town, trigger=trigger.model_copy(update={"weekly": True, "min_new_examples": 1000}))
    assert weekly.retraining.expected.cause == "weekly"
    assert weekly.retraining.expected.at is not None
    assert weekly.retraining.expected.at > town.clock()


def test_it_says_why_the_newest_candidate_was_not_promoted_and_what_would_decide(town: Town) -> None:
    found = explained(town).promoting
    assert found is not None
    assert (found.version, found.verdict) == (f"{NAME}/v2", "insufficient_evidence")
    assert "v2" in found.measured
    assert f"`perennial review {NAME}`" in found.decides
    assert found.missing_test_rows > 0
    assert found.expected.at is None, "no test row has come since"


def test_what_holds_candidates_back_is_told(town: Town) -> None:
    assert explained(town).holds == ()
    manual = town.tasks[NAME].promotion.model_copy(update={"mode": "manual", "improvement": "absolute", "min_improvement": 1.0})
    holds = explained(town, promotion=manual).holds
    assert any("promotion.mode" in hold for hold in holds)
    assert any("promotion.min_improvement" in hold for hold in holds)


def test_a_task_without_runs_and_one_that_is_due(tmp_path: Path) -> None:
    with Town(tmp_path, train=scored) as fresh:
        empty = explained(fresh)
        assert (empty.promoting, empty.champion, empty.retraining.expected.at) == (None, None, None)
        fresh.grow(10)
        due = explained(fresh)
        assert (due.retraining.due, due.retraining.expected.cause) == (True, "due")
        fresh.registry.pauses.pause(NAME, actor="op", reason="holiday")
        paused = explained(fresh)
        assert (paused.retraining.due, paused.retraining.expected.at) == (False, None)
        assert any("holiday" in reason for reason in paused.retraining.reasons)
        assert any("`perennial resume" in hold for hold in paused.holds)


@pytest.mark.parametrize("weight", [0.0, 1e-9, 5.0])
def test_no_pace_gives_no_date_beyond_what_anybody_plans(town: Town, weight: float) -> None:
    found = evidence.gather(NAME, town.registry, town.buffer)
    assert isinstance(found, Evidence)
    rate, _since = explaining._per_day(weight, found, town.clock())
    at = explaining._after(town.clock(), 10 / rate) if rate else None
    assert at is None or at < town.clock() + timedelta(days=3_651)


def test_a_record_that_this_release_cannot_read_is_told_in_its_own_words(town: Town) -> None:
    run = town.registry.runs.create(NAME, "strange", "asked", full=False)
    assert run is not None
    town.registry.runs.update(run.run_id, state="decided", verdict="keep", reasons=["Because."], comparison={"of": "later"})
    found = explained(town).promoting
    assert found is not None
    assert (found.run_id, found.reasons) == (run.run_id, ("Because.",))
    with town.registry.database.write() as connection:
        from registry.database.schema import runs  # noqa: PLC0415 - takes it away again

        connection.execute(runs.delete().where(runs.c.run_id == run.run_id))


def test_commands_tell_the_same(here: Town) -> None:
    done = CliRunner().invoke(app, ["explain", NAME, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["promoting"]["version"] == f"{NAME}/v2"
    shown = CliRunner().invoke(app, ["explain", NAME]).stdout
    assert told["promoting"]["measured"] in shown
    assert isinstance(CliRunner().invoke(app, ["explain", "nobody"]).exception, UserError)


def test_which_versions_learnt_a_correction(town: Town) -> None:
    found = lineage.of_correction(town.registry, town.buffer, "f-1")
    assert (found.learnt_by, found.included_in) == ((f"{NAME}/v1",), (f"{NAME}/v1", f"{NAME}/v2"))
    assert found.in_champion
    with pytest.raises(UserError):
        lineage.of_correction(town.registry, town.buffer, "nobody")


def test_which_corrections_are_in_a_version(town: Town) -> None:
    found = lineage.of_version(town.registry, town.buffer, f"{NAME}/v2", limit=5)
    assert (found.ancestors, found.continued_by) == ((f"{NAME}/v1",), ())
    assert [(one.event_id, one.learnt_by) for one in found.corrections] == [("f-1", f"{NAME}/v1")]
    assert (found.examples, found.own_examples, found.no_longer_stored) == (21, 10, 0)
    first = lineage.of_version(town.registry, None, f"{NAME}/v1", limit=5)
    assert (first.corrections, first.no_longer_stored, first.continued_by) == ((), 11, (f"{NAME}/v2",))


def test_which_verdicts_a_row_took_part_in(town: Town) -> None:
    found = lineage.of_row(town.registry, town.settings.evidence_dir, "test-1")
    assert [(one.version, one.verdict, one.role) for one in found.decisions] == [
        (f"{NAME}/v1", "promote", "test"), (f"{NAME}/v2", "insufficient_evidence", "test"),
    ]  # fmt: skip
    assert found.decisions[0].gold == {"label": "B"}
    assert found.learnt_by == ()
    learnt = lineage.of_row(town.registry, town.settings.evidence_dir, "train-1")
    assert (learnt.learnt_by, learnt.decisions) == ((f"{NAME}/v1",), ())
    for nothing in ("nobody", "", "'; drop table looks; --"):
        with pytest.raises(UserError):
            lineage.of_row(town.registry, town.settings.evidence_dir, nothing)


def test_a_row_whose_evidence_is_gone_is_still_known_by_its_looks(town: Town, tmp_path: Path) -> None:
    found = lineage.of_row(town.registry, tmp_path, "test-1")
    assert [(one.version, one.role, one.gold) for one in found.decisions] == [
        (f"{NAME}/v1", None, None),
        (f"{NAME}/v2", None, None),
    ]


def test_families_of_other_tasks_are_told_apart(town: Town) -> None:
    add_version(town.registry, "other", learnt=["train-1"])
    assert queries.learners_of(town.registry, "train-1") == [f"{NAME}/v1", "other/v1"]
    found = lineage.of_row(town.registry, town.settings.evidence_dir, "train-1")
    assert set(found.included_in) == {f"{NAME}/v1", f"{NAME}/v2", "other/v1"}
