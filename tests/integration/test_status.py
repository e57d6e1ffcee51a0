"""What `perennial status` says is what registry, buffer and event log hold, with a daemon or without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from config.errors import UserError
from config.settings import Settings, load_settings
from consumers.events import schemas as events
from consumers.log.embedded.log import EmbeddedLog
from daemon.cli.operations.status import print_status
from daemon.process import presence, probe
from daemon.process.probe import Computing
from daemon.training.due.triggers import Trigger
from daemon.views.installation.flow import Backlog
from daemon.views.installation.status import Status, StatusReader
from daemon.views.models.runs import Progress, last_progress
from daemon.views.view import as_json
from registry import promotion
from tests.support import buffers
from tests.support.cycles import HOLDER, NAME, World, better, failing, task
from trainers.job import spec as job_spec
from trainers.job.spec import JobResult, JobSpec


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path, task(), train=better) as made:
        folder = tmp_path / "tasks"
        folder.mkdir()
        (folder / "toy.yaml").write_text(yaml.safe_dump(made.tasks[NAME].model_dump(mode="json")), encoding="utf-8")
        made.settings = made.settings.model_copy(update={"tasks_dir": str(folder)})
        yield made


def read(world: World) -> Status:
    with closing(StatusReader(world.settings, clock=world.clock)) as reader:
        return reader.read()


def test_a_quiet_installation_with_a_champion(world: World) -> None:
    world.grow(10)
    world.cycle.step()
    world.grow(3)
    status = read(world)
    (toy,) = status.tasks
    assert (toy.task, toy.kind, toy.champion, toy.pinned) == (NAME, "classification", f"{NAME}/v1", False)
    assert (toy.counts.train, toy.counts.test, toy.new_examples) == (13, 10, 3)
    assert (toy.due, toy.run) == (False, None)
    assert toy.reasons[0] == "3 of 10 new examples; 7 more start a run"
    assert toy.last_run is not None
    assert (toy.last_run.verdict, toy.last_run.version) == ("promote", f"{NAME}/v1")
    assert "20.0 points better" in toy.last_run.reasons[0]
    assert status.tables["examples"] == 23
    assert status.lag == {events.ARTICLES_TOPIC: 0, events.FEEDBACK_TOPIC: 0, events.PREDICTIONS_TOPIC: 0}
    assert (status.dead_letters, status.serving) == (0, None)
    assert as_json(status)["tasks"][0]["champion"] == f"{NAME}/v1"


def test_what_enrichment_has_not_come_to_is_counted_since_when(world: World) -> None:
    world.grow(10)
    assert read(world).backlog["examples"] == Backlog(texts=0, since=None)
    world.buffer.insert(
        buffers.stored(*(buffers.label(f"new-{n}", f"new text {n}", "A", task=NAME) for n in range(3)), offset=900)
    )
    stored = buffers.article("a-1")
    world.clock.forward(60)
    world.buffer.insert(buffers.stored(stored, offset=901))
    waiting = read(world).backlog
    assert waiting["examples"] == Backlog(texts=3, since=buffers.NOW)
    assert waiting["articles"] == Backlog(texts=1, since=buffers.NOW + timedelta(seconds=60))


def test_which_share_of_the_texts_the_champion_read_in_part(world: World) -> None:
    world.runner.train = lambda spec: better(spec).model_copy(update={"rows_cut": 2, "tested": 40, "tested_cut": 1})
    world.grow(10)
    world.cycle.step()
    (toy,) = read(world).tasks
    assert toy.texts_cut is not None
    assert toy.texts_cut.endswith("1 of 40 scored rows (2%)")
    assert toy.texts_cut.startswith("2 of 10 training rows (20%)")


def test_a_due_run_a_pinned_champion_and_events_that_wait(world: World) -> None:
    world.grow(10)
    world.cycle.step()
    promotion.pin(world.registry, NAME, actor="a person", reason="election night")
    world.grow(12)
    with closing(EmbeddedLog(world.settings.event_log_file, retention=timedelta(days=14))) as log, closing(log.sink()) as sink:
        for number in range(4):
            sink.publish(events.FEEDBACK_TOPIC, events.to_bytes(buffers.label(f"waits-{number}", task=NAME)))
    status = read(world)
    (toy,) = status.tasks
    assert (toy.due, toy.reasons, toy.pinned) == (True, ("12 new examples; a run starts at 10",), True)
    assert status.lag[events.FEEDBACK_TOPIC] == 4


def test_a_run_under_way_shows_its_newest_progress(world: World) -> None:
    seen: list[Status] = []

    def watched(spec: JobSpec) -> JobResult:
        whole = '{"phase": "training", "step": 7, "steps": 9}\n'
        (spec.run_dir / job_spec.HISTORY_FILE).write_text(whole + '{"phase": "training", "st')
        seen.append(read(world))
        return failing(spec)

    world.runner.train = watched  # type: ignore[union-attr]  # a made-up runner
    world.grow(10)
    world.cycle.step()
    (toy,) = seen[0].tasks
    assert toy.run is not None
    assert (toy.run.state, toy.run.reason) == ("training", "10 new examples; a run starts at 10")
    assert toy.run.progress == Progress(phase="training", step=7, steps=9)
    assert toy.reasons == ("a run is under way",)
    (after,) = read(world).tasks
    assert (after.run, after.champion) == (None, None)
    assert after.last_run is not None
    assert (after.last_run.state, after.last_run.error) == ("failed", "the loss is not a number")


def test_the_newest_failed_run_is_told_however_many_came_since(world: World) -> None:
    world.runner.train = failing  # type: ignore[union-attr]  # a made-up runner
    world.grow(10)
    world.cycle.step()
    (failed,) = world.registry.runs.list()
    for number in range(51):
        later = world.registry.runs.create(NAME, f"later:{number}", "later", full=False)
        assert later is not None
        world.registry.runs.update(later.run_id, state="decided", verdict="keep")
    (toy,) = read(world).tasks
    assert toy.last_failed is not None
    assert toy.last_failed.run_id == failed.run_id


def test_the_leader_is_named_while_its_lease_lasts_and_nothing_else_needs_one(world: World) -> None:
    assert read(world).leader == HOLDER
    left = world.cycle.start(NAME, Trigger("request", "request:x", "left by a crash", full=True))
    assert left is not None
    world.clock.forward(7200)
    status = read(world)
    assert status.leader is None
    assert status.no_leader_since == buffers.NOW + timedelta(hours=1)
    assert status.tasks[0].run is not None
    assert status.tasks[0].run.run_id == left.run_id


def test_after_a_dead_daemon_nothing_trains(world: World) -> None:
    def died(spec: JobSpec) -> JobResult:
        world.stop.set()
        history = world.settings.runs_dir / spec.run_id / job_spec.HISTORY_FILE
        history.write_text('{"phase": "training", "step": 7, "steps": 9}\n')
        return JobResult(run_id=spec.run_id, status="stopped", error="as a crash would leave it")

    world.runner.train = died  # type: ignore[union-attr]  # a made-up runner
    world.grow(10)
    world.cycle.step()
    world.clock.forward(7200)
    (toy,) = read(world).tasks
    assert toy.run is not None
    assert (toy.run.state, toy.run.progress) == ("interrupted", None)
    assert "the daemon stopped" in toy.reasons[0]
    assert "training" not in str((toy.run.state, toy.run.progress, toy.reasons))


def test_a_run_that_waits_to_be_tried_again_says_so(world: World) -> None:
    def away(spec: JobSpec) -> JobResult:
        return JobResult(run_id=spec.run_id, status="try_later", error="the hub is away")

    world.runner.train = away  # type: ignore[union-attr]  # a made-up runner
    world.grow(10)
    world.cycle.step()
    (toy,) = read(world).tasks
    assert toy.run is not None
    assert (toy.run.state, toy.run.error, toy.run.failures) == ("waiting", "the hub is away", 1)
    assert toy.run.retry_at == buffers.NOW + timedelta(minutes=1)


def test_too_few_rows_in_the_window_are_counted_and_the_setting_is_named(world: World) -> None:
    spec = task(promotion={"metric": "macro_f1", "min_test_examples": 1000, "window_days": 90})
    world.tasks[NAME] = spec
    world.buffer.use_tasks(world.tasks)
    old = (buffers.label(f"test-old-{n}", f"old {n}", "AB"[n % 2], task=NAME, hours=24 * 365 * (1 + n % 9)) for n in range(66))
    world.buffer.insert(buffers.stored(*old, offset=500))
    buffers.enrich(world.buffer, split=lambda _row: "test")
    world.learn((f"test-{n}", f"held out text {n}", "AB"[n % 2]) for n in range(3))
    world.grow(10)
    world.cycle.step()
    (run,) = world.registry.runs.list()
    assert run.verdict == "insufficient_evidence"
    assert run.reasons[0] == (
        "Only 3 of 69 test rows are within promotion.window_days (90) of the newest one. For an archive raise "
        "promotion.window_days in the task file."
    )


def test_what_the_served_version_computes_by_is_told_by_serving(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.grow(10)
    world.cycle.step()
    assert read(world).tasks[0].computes_by is None, "nobody serves"
    here = presence.Presence(0, 0.0, "", "http://127.0.0.1:9")
    monkeypatch.setattr(presence, "read", lambda _folder: here)
    monkeypatch.setattr(presence, "is_alive", lambda _here: True)
    monkeypatch.setattr(probe, "problem", lambda _here: None)
    for passed_over in ({}, {NAME: "another processor"}):
        monkeypatch.setattr(probe, "computing", lambda _here, why=passed_over: Computing({NAME: "openvino-int8"}, why))
        status = read(world)
        (toy,) = status.tasks
        assert (toy.computes_by, toy.passed_over) == ("openvino-int8", passed_over.get(NAME))
        assert as_json(status)["tasks"][0]["computes_by"] == "openvino-int8"
        print_status(status)
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.split()[:2] == ["served", "as"]]
        assert "openvino-int8" in line
        assert ("another processor" in line) == bool(passed_over)


def test_reading_changes_nothing_and_stands_beside_the_writer(world: World) -> None:
    world.grow(10)
    versions = world.buffer.versions()
    with closing(StatusReader(world.settings, clock=world.clock)) as reader:
        assert reader.read().tasks[0].new_examples == 10
        world.grow(2)
        assert reader.read().tasks[0].new_examples == 12, "an open reader sees what was written since"
    assert world.buffer.versions().keys() == versions.keys()
    world.cycle.step()
    assert world.champion() == f"{NAME}/v1"


def test_before_the_first_run_the_error_says_what_to_do(tmp_path: Path) -> None:
    settings: Settings = load_settings(data_dir=tmp_path / "nothing")
    with pytest.raises(UserError, match=r"nothing has run in .*nothing yet; start the daemon with `perennial run`"):
        StatusReader(settings)
    assert not (tmp_path / "nothing").exists()


def test_a_history_without_a_whole_line_is_no_progress(tmp_path: Path) -> None:
    assert last_progress(tmp_path) is None
    (tmp_path / job_spec.HISTORY_FILE).write_text('{"phase": "tra')
    assert last_progress(tmp_path) is None
