"""A run that fails temporarily is tried again with growing pauses; one that cannot succeed fails at once."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from consumers.buffer.writer import BufferWriter
from daemon.training.due import triggers
from tests.support import buffers
from tests.support.cycles import NAME, MadeUpRunner, World, better, task
from trainers.job.spec import SPEC_FILE, JobResult, JobSpec

FULL = "No space left on device"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path, task(), train=away) as made:
        made.grow(10)
        yield made


def away(spec: JobSpec) -> JobResult:
    """What a child leaves where the disk is full."""
    return JobResult(run_id=spec.run_id, status="try_later", error=FULL)


def attempts(world: World) -> int:
    assert isinstance(world.runner, MadeUpRunner)
    return len(world.runner.attempts)


def fix(world: World) -> None:
    assert isinstance(world.runner, MadeUpRunner)
    world.runner.train = better


def test_it_is_tried_again_after_growing_pauses_and_the_same_run_succeeds(world: World) -> None:
    with capture_logs() as lines:
        for pause_s in (60, 120, 240):
            before = attempts(world)
            world.cycle.step()
            run = world.only_run()
            assert attempts(world) == before + 1
            assert (run.state, run.error) == ("training", FULL)
            assert run.retry_at == world.clock() + timedelta(seconds=pause_s)
            world.clock.forward(pause_s - 1)
            world.cycle.step()
            assert attempts(world) == before + 1, "its pause is not over"
            world.clock.forward(1)
    told = [(line["failures"], line["reason"]) for line in lines if line["event"] == "run.retries_later"]
    assert told == [(1, FULL), (2, FULL), (3, FULL)]
    fix(world)
    world.cycle.step()
    run = world.only_run()
    assert (run.state, run.verdict, run.error, run.retry_at, run.failures) == ("decided", "promote", None, None, 3)
    assert world.told() == ["training.started", "model.promoted", "training.finished"], "nobody was told of a failure"


def test_status_says_why_and_when(world: World) -> None:
    world.cycle.step()
    (reason,) = world.look().reasons
    for words in ("1 temporary failure;", "at Wed 2024-05-01 12:01 UTC (1 minute to go)", str(FULL)):
        assert words in reason


def test_a_restart_keeps_the_pause_and_the_count(world: World) -> None:
    world.cycle.step()
    world.next_cycle().step()
    assert attempts(world) == 1
    world.clock.forward(60)
    world.next_cycle().step()
    assert (attempts(world), world.only_run().failures) == (2, 2)


def test_after_the_limit_it_fails_for_good_and_says_what_to_do(tmp_path: Path) -> None:
    with World(tmp_path, task(), train=away, retry_limit=2) as world:
        world.grow(10)
        for _ in range(4):
            world.cycle.step()
            world.clock.forward(7200)
        run = world.only_run()
        assert (run.state, run.retry_at, attempts(world)) == ("failed", None, 3)
        assert f"{FULL}. It failed 3 times and is not tried again" in str(run.error)
        assert f"`perennial train {NAME}`" in str(run.error)
        assert world.told() == ["training.started", "training.failed"]


def test_no_pause_is_longer_than_an_hour(world: World) -> None:
    for _ in range(9):
        world.cycle.step()
        world.clock.forward(3600)
    run = world.only_run()
    assert run.failures == 9
    assert run.retry_at is not None
    assert run.retry_at <= world.clock()


def test_a_weekly_run_does_not_lose_its_week(tmp_path: Path) -> None:
    weekly = task(trigger={"min_new_examples": 1000, "max_age_min_examples": 1000, "cooldown_minutes": 0, "weekly": True})
    with World(tmp_path, weekly, train=better) as world:
        world.grow(10)
        world.ask()
        world.clock.forward(8 * 86_400)
        assert isinstance(world.runner, MadeUpRunner)
        world.runner.train = away
        world.next_cycle().step()
        fix(world)
        world.clock.forward(60)
        world.next_cycle().step()
        runs = world.registry.runs.list()
        assert [(run.state, run.trigger_key.partition(":")[0]) for run in runs] == [("decided", "weekly"), ("decided", "request")]


def test_other_tasks_train_meanwhile(world: World) -> None:
    other = "other-topics"
    world.tasks[other] = task(name=other)
    world.buffer.insert(
        buffers.stored(*(buffers.label(f"o-{n}", f"other text {n}", "AB"[n % 2], task=other) for n in range(20)), offset=100)
    )
    buffers.enrich(world.buffer)
    assert isinstance(world.runner, MadeUpRunner)
    world.runner.train = lambda spec: better(spec) if spec.task.name == other else away(spec)
    world.cycle.step()
    assert {run.task: run.state for run in world.registry.runs.list()} == {NAME: "training", other: "decided"}


def test_who_asks_for_a_run_after_the_failure_need_not_wait_and_who_asked_before_does(world: World) -> None:
    world.cycle.step()
    early = buffers.retrain("before", NAME).model_copy(update={"occurred_at": world.clock() - timedelta(seconds=5)})
    world.buffer.insert(buffers.stored(early, offset=200))
    world.cycle.step()
    assert attempts(world) == 1
    world.clock.forward(10)
    asked = buffers.retrain("after", NAME).model_copy(update={"occurred_at": world.clock()})
    world.buffer.insert(buffers.stored(asked, offset=201))
    fix(world)
    world.cycle.step()
    assert attempts(world) >= 2
    assert [run.state for run in world.registry.runs.list()].count("decided") >= 1


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (OSError(errno.ENOSPC, FULL), "queued"),
        (OSError(errno.EMFILE, "Too many open files"), "queued"),
        (RuntimeError(f"lance error: LanceError(IO): {FULL} (os error 28)"), "queued"),
        (FileNotFoundError(errno.ENOENT, "no such file"), "failed"),
        (ValueError("a row that nobody thought of"), "failed"),
        (KeyError("label"), "failed"),
    ],
)
def test_a_step_of_the_daemon_itself_fails_its_run_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception, state: str
) -> None:
    def broken(*_args: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(BufferWriter, "freeze", broken)
    with capture_logs() as lines:
        world.cycle.step()
    run = world.only_run()
    assert run.state == state
    assert (run.retry_at is not None) == (state == "queued")
    assert [line["state"] for line in lines if line["event"] == "run.step_failed"] == ["queued"]
    monkeypatch.undo()
    fix(world)
    world.clock.forward(60)
    world.cycle.step()
    assert world.only_run().state == ("decided" if state == "queued" else "failed")


def test_a_run_that_is_ended_while_it_waits_ends_at_the_next_look(world: World) -> None:
    world.cycle.step()
    world.cycle.end(world.only_run().run_id)
    world.cycle.step()
    assert world.only_run().state == "failed"


def test_the_order_of_a_run_that_an_earlier_version_began_is_read(world: World) -> None:
    world.cycle.step()
    path = world.run_folder(world.only_run()) / SPEC_FILE
    order = json.loads(path.read_text())
    for key in ("stall_limit_s", "retry_after_s", "retry_limit"):
        del order["training"][key]
    path.write_text(json.dumps(order))
    fix(world)
    world.clock.forward(60)
    world.cycle.step()
    assert world.only_run().state == "decided"


def test_too_few_held_out_rows_start_a_run_as_soon_as_they_are_enough(tmp_path: Path) -> None:
    def undecided(spec: JobSpec) -> JobResult:
        done = better(spec)
        assert done.comparison is not None
        return done.model_copy(update={"comparison": done.comparison.model_copy(update={"rows": 10})})

    spec = task(
        promotion={"metric": "macro_f1", "min_test_examples": 15, "max_latency_ratio": 1000.0},
        trigger={"min_new_examples": 10, "cooldown_minutes": 60, "weekly": False},
    )
    with World(tmp_path, spec, train=undecided) as world:
        world.grow(10)
        world.cycle.step()
        assert world.only_run().verdict == "insufficient_evidence"
        world.learn((f"test-late-{n}", f"late held out {n}", "AB"[n % 2]) for n in range(4))
        assert world.look().trigger is None
        world.learn([("test-late-4", "late held out 4", "A")])
        fix(world)
        world.cycle.step()
        newest = world.registry.runs.list(limit=1)[0]
        assert (newest.trigger_key.partition(":")[0], newest.verdict) == ("evidence", "promote")
        assert newest.reason == "15 test rows now, 10 in the last run; 15 are needed to decide"


def test_a_first_run_waits_for_what_the_log_and_the_buffer_hold(tmp_path: Path) -> None:
    spec = task(promotion={"metric": "macro_f1", "min_test_examples": 15, "max_latency_ratio": 1000.0})
    with World(tmp_path, spec, train=better) as world:
        world.grow(10)
        unread: list[int | None] = [None]
        world.cycle._unread = lambda: unread[0]
        world.cycle.step()
        assert world.registry.runs.list() == []
        unread[0] = 5
        world.cycle.step()
        assert world.registry.runs.list() == []
        unread[0] = 0
        world.buffer.insert(
            buffers.stored(*(buffers.label(f"test-x{n}", f"x {n}", "AB"[n % 2], task=NAME) for n in range(8)), offset=300)
        )
        world.cycle.step()
        assert world.registry.runs.list() == []
        assert "waits for 8 more texts of the import" in world.look().reasons[0]
        world.clock.forward(15 * 60)
        assert world.look().trigger is not None, "never longer than that"
        world.clock.forward(-15 * 60)
        buffers.enrich(world.buffer, split=lambda _row: "test")
        world.cycle.step()
        assert world.only_run().verdict == "promote"


def test_the_key_of_the_week_is_the_same_run_however_often_it_is_tried(world: World) -> None:
    world.cycle.step()
    run = world.only_run()
    assert world.cycle.start(NAME, triggers.Trigger("threshold", run.trigger_key, "again", full=True)) is None
