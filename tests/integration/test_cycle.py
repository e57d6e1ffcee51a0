"""The cycle's steps and promises, with a made-up training child; the real one is in test_cycle_training.py."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.errors import RetryError, StopError
from consumers.events.schemas import LIFECYCLE_TOPIC
from consumers.log.embedded.log import EmbeddedLog
from daemon.flow.outbox import Publisher
from registry import promotion
from registry.judging import gate
from registry.judging.looks import Looks
from registry.reports import cards
from registry.reports.run.kept import Reports
from registry.runs import Run
from tests.support import buffers
from tests.support.cycles import HOLDER, NAME, MadeUpRunner, World, better, failing, task, worse
from trainers.hardware import usable_cores
from trainers.job import spec as job_spec
from trainers.job.spec import JobResult, JobSpec


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path, task(), train=better, keep_runs=2) as made:
        yield made


def test_enough_new_examples_become_a_champion_and_the_counter_starts_over(world: World) -> None:
    world.grow(9)
    world.cycle.step()
    assert world.registry.runs.list() == []
    world.grow(1)
    world.cycle.step()
    run = world.only_run()
    assert (run.state, run.verdict, run.version, run.full, run.attempt) == ("decided", "promote", f"{NAME}/v1", True, 1)
    assert run.reason == "10 new examples; a run starts at 10"
    assert world.champion() == f"{NAME}/v1"
    world.cycle.step()
    assert world.only_run() == run
    assert world.look().reasons[0] == "0 of 10 new examples; 10 more start a run"
    assert world.told() == ["training.started", "model.promoted", "training.finished"]


def test_what_is_recorded_is_enough_to_make_the_version_again(world: World) -> None:
    world.grow(10)
    world.cycle.step()
    world.grow(10, "more")
    world.cycle.step()
    second = world.registry.versions.get(f"{NAME}/v2")
    run = world.registry.runs.get(second.run_id)
    manifest = json.loads((world.run_folder(run) / "training_set" / "manifest.json").read_text())
    assert second.parent == f"{NAME}/v1" == run.parent
    assert second.lineage.training_set_sha256 == run.training_set_sha256 == manifest["rows_sha256"]
    assert second.lineage.counts["train"] == 20
    assert second.lineage.settings["task"]["name"] == NAME
    assert "torch" in second.lineage.code
    assert world.registry.versions.learnt(second.name) == {f"train-{n}" for n in range(10)} | {f"more-{n}" for n in range(10, 20)}
    # Both runs looked at the same ten held-out rows; the second was told so.
    assert set(world.registry.looks.count(NAME, [f"test-{n}" for n in range(10)]).values()) == {2}
    assert run.comparison is not None
    assert run.comparison["looks"] == 2


def test_after_publishing_neither_model_nor_checkpoints_stay_in_the_run_folder_but_a_card_does(tmp_path: Path) -> None:
    with World(tmp_path, task(), train=better, drawn=True) as world:
        world.grow(10)
        world.cycle.step()
        run = world.only_run()
        folder = world.run_folder(run)
        assert not (folder / job_spec.MODEL_FOLDER).exists()
        assert not (folder / job_spec.WORK_FOLDER).exists()
        version = world.registry.versions.get(f"{NAME}/v1")
        assert world.artifacts.fetch(version.artifact_id, version.manifest_sha256).is_dir()
        assert "**Promoted.**" in (folder / "card.md").read_text()
        assert (folder / "card.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (world.settings.reports_dir / run.run_id / "report.html").read_text()


def test_a_card_that_cannot_be_drawn_fails_no_run_and_is_logged(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object, **_kwargs: object) -> None:
        message = "no font"
        raise RuntimeError(message)

    monkeypatch.setattr(cards, "write_card", broken)
    world.grow(10)
    with capture_logs() as lines:
        world.cycle.step()
    assert world.only_run().verdict == "promote"
    assert [line["version"] for line in lines if line["event"] == "run.card_failed"] == [f"{NAME}/v1"]


def test_every_decided_run_has_a_report_with_its_verdict_and_a_failed_one_has_none(world: World) -> None:
    world.grow(10)
    world.cycle.step()
    folder = world.settings.reports_dir / world.only_run().run_id
    assert sorted(path.name for path in folder.iterdir()) == ["kept.json", "report.html", "report.md"]
    told = (folder / "report.md").read_text()
    assert "**DEPLOY.**" in told
    assert f"# {NAME}/v1" in told
    world.train_with(failing)
    world.grow(10)
    world.cycle.step()
    assert [path.name for path in world.settings.reports_dir.iterdir()] == [folder.name]
    assert world.registry.runs.list(limit=1)[0].readiness == "FAIL"


def test_a_report_that_cannot_be_written_fails_no_run_and_is_logged(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object, **_kwargs: object) -> None:
        message = "no room"
        raise OSError(message)

    monkeypatch.setattr(Reports, "write", broken)
    world.grow(10)
    with capture_logs() as lines:
        world.cycle.step()
    assert world.only_run().verdict == "promote"
    assert [line["version"] for line in lines if line["event"] == "run.report_failed"] == [f"{NAME}/v1"]


def test_test_rows_of_one_label_promote_nobody(world: World) -> None:
    world.grow(10)
    world.cycle.step()
    # The newest label of a text counts.
    world.learn([(f"test-again-{number}", f"held out text {number}", "A") for number in range(1, 10, 2)])
    world.grow(10)
    world.cycle.step()
    run = world.registry.runs.list(limit=1)[0]
    assert (run.verdict, world.champion()) == ("insufficient_evidence", f"{NAME}/v1")
    assert " A:" in run.reasons[0]


@pytest.mark.parametrize(
    ("limit", "review", "expected"),
    [
        ({"deploy": 0.6}, "wait", ("promote", "DEPLOY", f"{NAME}/v1")),
        ({"deploy": 0.8, "review": 0.6}, "wait", ("keep", "REVIEW", None)),
        ({"deploy": 0.8, "review": 0.6}, "promote", ("promote", "REVIEW", f"{NAME}/v1")),
        ({"deploy": 0.9, "review": 0.8}, "promote", ("keep", "FAIL", None)),
    ],
)
def test_absolute_limits_stop_a_promotion_or_let_it_wait(
    tmp_path: Path, limit: dict[str, float], review: str, expected: tuple[str, str, str | None]
) -> None:
    policy = {"metric": "macro_f1", "min_test_examples": 5, "limits": {"macro_f1": limit}, "review": review}
    with World(tmp_path, task(promotion=policy), train=better) as world:
        world.grow(10)
        world.cycle.step()
        run = world.only_run()
        assert (run.verdict, run.readiness, world.champion()) == expected
        told = [row.event for row in world.registry.outbox.pending(limit=10)]
        assert [event["readiness"] for event in told if event["type"] == "training.finished"] == [expected[1]]
        if expected == ("keep", "REVIEW", None):
            assert f"`perennial models promote {NAME}/v1`" in run.reasons[0]


def test_folders_of_old_runs_are_forgotten_and_their_records_stay(world: World) -> None:
    runs = []
    for number in range(3):
        world.grow(10)
        world.clock.forward(60)
        runs.append(world.ask(f"request:{number}"))
    assert [world.run_folder(run).exists() for run in runs] == [False, True, True]
    assert len(world.registry.runs.list()) == 3


@pytest.mark.parametrize(
    ("changes", "verdict", "reason"),
    [
        ({}, "keep", "No better"),
        (
            {"promotion": {"metric": "macro_f1", "min_test_examples": 5000}},
            "insufficient_evidence",
            "Not decided: 600 of the 5000 test rows needed",
        ),
    ],
)
def test_a_candidate_that_is_not_better_is_kept_aside_with_reasons(
    tmp_path: Path, changes: dict[str, object], verdict: str, reason: str
) -> None:
    with World(tmp_path, task(**changes), train=worse) as world:
        world.grow(10)
        world.cycle.step()
        run = world.only_run()
        assert (run.state, run.verdict, run.version) == ("decided", verdict, f"{NAME}/v1")
        assert reason in run.reasons[0]
        assert world.champion() is None
        assert world.told() == ["training.started", "training.finished"]
        # Its rows had their turn as a trigger, and are still new to the next training.
        assert world.look().trigger is None
        world.grow(10)
        world.cycle.step()
        newest = world.registry.runs.list(limit=1)[0]
        assert newest.trigger_key != run.trigger_key
        assert newest.comparison is not None
        assert json.loads((world.run_folder(newest) / "training_set" / "manifest.json").read_text())["new_rows"] == 20


def test_a_champion_that_moved_meanwhile_stands(world: World) -> None:
    for _ in range(2):
        world.grow(10)
        world.cycle.step()

    def rolled_back_meanwhile(spec: JobSpec) -> JobResult:
        promotion.rollback(world.registry, NAME, actor="a person", reason="v2 swears")
        return better(spec)

    world.train_with(rolled_back_meanwhile)
    world.grow(10)
    world.cycle.step()
    run = world.registry.runs.list(limit=1)[0]
    assert (run.verdict, run.version) == ("keep", f"{NAME}/v3")
    assert f"Not promoted: {NAME}/v3 was compared with {NAME}/v2, but the champion of '{NAME}' is now {NAME}/v1" in run.reasons[0]
    assert world.champion() == f"{NAME}/v1"


def test_a_pinned_champion_stands(world: World) -> None:
    world.grow(10)
    world.cycle.step()
    promotion.pin(world.registry, NAME, actor="a person", reason="election night")
    world.grow(10)
    world.cycle.step()
    run = world.registry.runs.list(limit=1)[0]
    assert run.verdict == "keep"
    assert run.reasons[0].startswith("Not promoted: ")
    assert f"`perennial models unpin {NAME}`" in run.reasons[0]
    assert world.champion() == f"{NAME}/v1"


def test_a_paused_task_starts_nothing_and_goes_on_where_it_was(world: World) -> None:
    world.registry.pauses.pause(NAME, actor="operator", reason="elections")
    world.grow(12)
    world.cycle.step()
    assert (world.registry.runs.list(), world.look().trigger) == ([], None)
    # It survives the process, and needs none to be ended.
    world.next_cycle().step()
    assert world.registry.runs.list() == []
    world.registry.pauses.resume(NAME, actor="operator", reason="they are over")
    world.cycle.step()
    assert (world.only_run().verdict, world.champion()) == ("promote", f"{NAME}/v1")


def test_the_verdict_of_a_run_waits_while_its_task_is_paused(world: World) -> None:
    def paused_meanwhile(spec: JobSpec) -> JobResult:
        world.registry.pauses.pause(NAME, actor="operator", reason="elections")
        return better(spec)

    world.train_with(paused_meanwhile)
    world.grow(12)
    with capture_logs() as lines:
        world.cycle.step()
    assert [line["event"] for line in lines if line["event"] in ("run.verdict_waits", "model.promoted")] == ["run.verdict_waits"]
    assert (world.only_run().state, world.champion()) == ("published", None)
    world.next_cycle().step()
    assert (world.only_run().state, world.champion()) == ("published", None)
    assert "its verdict waits" in world.look().reasons[1]
    world.registry.pauses.resume(NAME, actor="operator", reason="they are over")
    world.cycle.step()
    assert (world.only_run().verdict, world.champion()) == ("promote", f"{NAME}/v1")


def test_what_a_run_cost_adds_up_over_its_attempts(world: World) -> None:
    def stopped(spec: JobSpec) -> JobResult:
        # A child is stopped where the daemon stops, and by nothing else.
        world.stop.set()
        return JobResult(run_id=spec.run_id, status="stopped", cpu_s=2.0)

    world.train_with(stopped)
    world.grow(12)
    world.cycle.step()
    world.train_with(lambda spec: better(spec).model_copy(update={"cpu_s": 5.5}))
    world.next_cycle().step()
    assert world.only_run().cpu_s == 7.5


def test_a_run_asked_not_to_promote_does_not(world: World) -> None:
    world.grow(10)
    run = world.ask(promote=False)
    assert (run.verdict, run.version) == ("keep", f"{NAME}/v1")
    assert run.reasons[0] == (
        f"Not promoted: the run was requested without promotion. Promote it with `perennial models promote {NAME}/v1`."
    )
    assert "better" in run.reasons[1]
    assert world.champion() is None


def test_in_manual_mode_the_candidate_waits_for_a_person(tmp_path: Path) -> None:
    manual = task(promotion={"metric": "macro_f1", "min_test_examples": 5, "mode": "manual"})
    with World(tmp_path, manual, train=better) as world:
        world.grow(10)
        world.cycle.step()
        run = world.only_run()
        assert run.verdict == "keep"
        assert run.reasons[0].startswith("Not promoted: promotion.mode is manual")
        assert world.champion() is None


def test_a_run_that_fails_is_recorded_and_does_not_loop(world: World) -> None:
    world.train_with(failing)
    world.grow(10)
    with capture_logs() as lines:
        for _ in range(3):
            world.cycle.step()
    run = world.only_run()
    assert (run.state, run.error, run.verdict) == ("failed", "the loss is not a number", None)
    assert not (world.run_folder(run) / job_spec.WORK_FOLDER).exists()
    assert world.told() == ["training.started", "training.failed"]
    assert [line["reason"] for line in lines if line["event"] == "run.failed"] == ["the loss is not a number"]
    world.grow(9)
    assert world.look().trigger is None
    world.grow(1)
    world.train_with(better)
    world.cycle.step()
    assert [ran.state for ran in world.registry.runs.list()] == ["decided", "failed"]


def test_a_run_without_a_usable_row_fails_once(tmp_path: Path) -> None:
    with World(tmp_path, task(new_label_min_examples=50), train=better) as world:
        world.grow(10)
        for _ in range(3):
            world.cycle.step()
        run = world.only_run()
        assert run.state == "failed"
        assert "training set is empty" in str(run.error)
        assert world.look().trigger is None


def test_an_unfinished_run_whose_task_file_vanished_fails_once(world: World) -> None:
    world.grow(10)
    trigger = world.look().trigger
    assert trigger is not None
    world.cycle.start(NAME, trigger)
    world.tasks.clear()
    for _ in range(2):
        world.next_cycle().step()
    run = world.only_run()
    assert run.state == "failed"
    assert "has no task file any more" in str(run.error)


def test_a_run_whose_task_is_removed_meanwhile_ends_as_it_was_begun_and_no_other_starts(world: World) -> None:
    def remove(spec: JobSpec) -> JobResult:
        world.tasks.clear()
        return better(spec)

    world.train_with(remove)
    world.grow(10)
    world.cycle.step()
    run = world.only_run()
    assert (run.state, run.verdict) == ("decided", "promote")
    world.grow(10)
    world.cycle.step()
    assert world.only_run() == run


def test_a_policy_that_is_changed_while_a_run_trains_decides_on_it(world: World) -> None:
    def change(spec: JobSpec) -> JobResult:
        world.tasks[NAME] = task(promotion={"metric": "macro_f1", "min_test_examples": 5, "mode": "manual"})
        return better(spec)

    world.train_with(change)
    world.grow(10)
    world.cycle.step()
    run = world.only_run()
    assert (run.state, run.verdict) == ("decided", "keep")
    assert "mode is manual" in run.reasons[0]


def test_a_damaged_champion_fails_the_run_and_does_not_loop(world: World) -> None:
    world.grow(10)
    world.cycle.step()
    version = world.registry.versions.get(f"{NAME}/v1")
    (world.artifacts.folder(version.artifact_id) / "config.json").write_text("{}")
    world.grow(10)
    for _ in range(2):
        world.cycle.step()
    newest, _first = world.registry.runs.list()
    assert newest.state == "failed"
    assert "file config.json is not the one that was published" in str(newest.error)
    assert newest.parent == version.name


def test_a_run_stopped_by_a_shutdown_goes_on_at_the_next_start_and_is_announced_once(world: World) -> None:
    def stopped(spec: JobSpec) -> JobResult:
        world.stop.set()
        return JobResult(run_id=spec.run_id, status="stopped", error="stopped; it continues at the next start")

    world.train_with(stopped)
    world.grow(10)
    with capture_logs() as lines:
        world.cycle.step()
    assert [line["event"] for line in lines].count("run.stopped") == 1
    assert (world.only_run().state, world.only_run().attempt) == ("training", 1)
    world.train_with(better)
    world.next_cycle().step()
    run = world.only_run()
    assert (run.state, run.verdict, run.attempt) == ("decided", "promote", 2)
    assert isinstance(world.runner, MadeUpRunner)
    assert world.runner.attempts == [1, 2]
    assert world.told() == ["training.started", "model.promoted", "training.finished"]


def test_interrupted_between_promotion_and_decision_the_run_is_decided_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.grow(10)
    with monkeypatch.context() as patch:
        patch.setattr(Looks, "record", unreachable)
        with pytest.raises(RetryError):
            world.cycle.step()
    assert world.only_run().state == "published"
    world.next_cycle().step()
    run = world.only_run()
    assert (run.state, run.verdict) == ("decided", "promote")
    assert [(move.kind, move.to_version) for move in world.registry.versions.history(NAME)] == [("promote", f"{NAME}/v1")]
    assert len(set(world.told())) == len(world.told()) == 3


def test_what_a_person_does_between_promotion_and_decision_stands(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.grow(10)
    world.cycle.step()
    world.grow(10)
    with monkeypatch.context() as patch:
        patch.setattr(Looks, "record", unreachable)
        with pytest.raises(RetryError):
            world.cycle.step()
    promotion.rollback(world.registry, NAME, actor="a person", reason="v2 swears")
    world.next_cycle().step()
    assert world.registry.runs.list(limit=1)[0].verdict == "promote"
    assert world.champion() == f"{NAME}/v1"


def unreachable(*_args: object, **_kwargs: object) -> None:
    message = "the registry does not answer"
    raise RetryError(message)


@pytest.mark.parametrize("state", ["queued", "training", "published"])
def test_a_former_leader_writes_nothing_more(world: World, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def deposed(*_args: object, **_kwargs: object) -> None:
        world.clock.forward(7200)
        assert world.registry.lease.acquire("another", 60) is not None

    def overtaken(spec: JobSpec) -> JobResult:
        deposed()
        return better(spec)

    world.grow(10)
    if state == "queued":
        deposed()
    elif state == "training":
        world.train_with(overtaken)
    else:
        monkeypatch.setattr(gate, "decide", lambda *_, **__: deposed() or gate.Decision("promote", ("better",)))
    with pytest.raises(StopError, match="no longer the leader"):
        world.cycle.step()
    assert [run.state for run in world.registry.runs.list()] == ([] if state == "queued" else [state])
    assert world.champion() is None
    assert world.told() == ([] if state == "queued" else ["training.started"])
    assert HOLDER not in str(world.registry.lease.holder())


def test_events_reach_the_log_once_each_although_a_flush_failed(world: World, tmp_path: Path) -> None:
    world.grow(10)
    world.cycle.step()
    with closing(EmbeddedLog(tmp_path / "events.db", retention=timedelta(days=1))) as log:
        sink = log.sink()
        flush, failures = sink.flush, iter([RetryError("locked"), None, None])

        def flaky(*limits: float, **limit: float) -> None:
            if error := next(failures):
                raise error
            flush(*limits, **limit)

        sink.flush = flaky  # type: ignore[method-assign]  # the fault
        publisher = Publisher(world.registry, sink)
        with pytest.raises(RetryError):
            publisher.step()
        assert publisher.step() > 0
        publisher.step()
        source = log.source("reader", [LIFECYCLE_TOPIC])
        events = [json.loads(raw.value or b"") for raw in source.poll(timeout_s=0.1, max_events=100)]
        source.close()
        sink.flush = flush  # type: ignore[method-assign]  # fixed
        sink.close()
    assert [event["type"] for event in events] == ["training.started", "model.promoted", "training.finished"]
    assert len({event["event_id"] for event in events}) == 3
    assert events[-1]["verdict"] == "promote"
    assert world.registry.outbox.pending() == []


def test_renames_that_came_by_events_reach_the_trainer(world: World) -> None:
    world.grow(10)
    world.buffer.insert(buffers.stored(buffers.renaming("s-1", A="Z").model_copy(update={"task": NAME})))
    assert made_with(world, world.ask())["task"]["renames"] == {"A": "Z"}


def test_another_base_model_means_a_full_run(world: World) -> None:
    world.grow(10)
    world.ask("first")
    world.grow(10)
    assert not made_with(world, world.ask("second"))["full"]
    world.tasks[NAME] = world.tasks[NAME].model_copy(update={"base_model": "some/other-model"})
    world.grow(10)
    run = world.ask("third")
    assert made_with(world, run)["full"]
    assert run.version is not None
    assert world.registry.versions.get(run.version).parent is None


def made_with(world: World, run: Run) -> Mapping[str, Any]:
    assert run.version is not None
    return world.registry.versions.get(run.version).lineage.settings


def test_while_nothing_is_served_a_run_takes_every_core(tmp_path: Path) -> None:
    threads: list[int] = []

    def seen(spec: JobSpec) -> JobResult:
        threads.append(spec.training.threads)
        return better(spec)

    with World(tmp_path, task(), train=seen, threads=0) as world:
        world.grow(12)
        world.ask("request:first")
        world.grow(12)
        world.ask("request:second")
    assert threads == [usable_cores(), 0]
