"""What the cycle expects of a runner, held against every one; small real children stand in for training."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from config.settings import SHIPPED_TASKS_DIR, load_settings
from config.tasks import load_tasks
from daemon.training.runners.local import LocalRunner
from daemon.training.runners.protocol import Runner
from tests.support.runners import CopyingRunner
from trainers.job import spec as job_spec
from trainers.job.spec import JobSpec, Progress

RUN = "news-topics-1"
CHILD = """
import json, sys, time
from pathlib import Path
run_dir = Path(sys.argv[1]).parent
spec = json.loads(Path(sys.argv[1]).read_text())
def say(phase, **more):
    print(json.dumps({"run_id": spec["run_id"], "at": "2026-11-20T00:00:00Z", "phase": phase, **more}), flush=True)
def result(status, **more):
    (run_dir / "result.json").write_text(json.dumps({"run_id": spec["run_id"], "status": status, **more}))
"""
LEARN = """
say("training", step=1, steps=1)
(run_dir / "model").mkdir(exist_ok=True)
learnt = (run_dir / spec["training_set"] / "rows").read_text() + (run_dir / spec["champion"] / "weights").read_text()
(run_dir / "model" / "weights").write_text(learnt)
result("done", model="model", rows_new=2)
"""
Make = Callable[..., Runner]


@pytest.fixture(params=["local", "copying"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Return what makes a runner whose child does `body`."""

    def made(body: str, stop: threading.Event | None = None) -> Runner:
        script = tmp_path / "child.py"
        script.write_text(CHILD + body)
        settings = load_settings().training.model_copy(update={"threads": 1, "stop_grace_s": 0.5})
        local = LocalRunner(settings, stop or threading.Event(), command=(sys.executable, str(script)))
        return local if request.param == "local" else CopyingRunner(tmp_path / "elsewhere", local)

    return made


@pytest.fixture
def spec(tmp_path: Path) -> JobSpec:
    """An order whose training set and champion lie in the run folder."""
    run_dir = tmp_path / "runs" / RUN
    for name, file in ((job_spec.TRAINING_SET_FOLDER, "rows"), (job_spec.CHAMPION_FOLDER, "weights")):
        (run_dir / name).mkdir(parents=True)
        (run_dir / name / file).write_text(f"{name} ")
    return JobSpec(
        run_id=RUN, task=load_tasks(SHIPPED_TASKS_DIR)["news-topics"], training=load_settings().training, full=False,
        training_set=run_dir / job_spec.TRAINING_SET_FOLDER, run_dir=run_dir, champion=run_dir / job_spec.CHAMPION_FOLDER,
        champion_version="news-topics/v1", batch_size=32,
    )  # fmt: skip


def test_a_prepared_order_is_read_as_it_was_given(make: Make, spec: JobSpec) -> None:
    make("").prepare(spec)
    assert job_spec.read_spec(spec.run_dir) == spec
    assert str(spec.run_dir.parent) not in (spec.run_dir / job_spec.SPEC_FILE).read_text()


@pytest.mark.parametrize("field", ["training_set", "champion"])
def test_an_order_that_leads_out_of_its_folder_is_refused(make: Make, spec: JobSpec, field: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="elsewhere"):
        make("").prepare(spec.model_copy(update={field: tmp_path / "elsewhere" / field}))


def test_what_a_run_leaves_lies_in_its_folder(make: Make, spec: JobSpec) -> None:
    seen: list[Progress] = []
    found = make(LEARN).run(spec, seen.append)
    assert (found.status, found.rows_new) == ("done", 2)
    assert found.model == spec.run_dir / job_spec.MODEL_FOLDER
    assert (spec.run_dir / "model" / "weights").read_text() == "training_set champion "
    # What a child cost is known to whoever waited for it.
    assert job_spec.read_result(spec.run_dir) == found.model_copy(update={"cpu_s": None})
    assert [progress.phase for progress in seen] == ["training"]


def test_a_run_that_cannot_succeed_has_failed(make: Make, spec: JobSpec) -> None:
    found = make("result('failed', error='the loss is not a number'); sys.exit(1)").run(spec, lambda _: None)
    assert (found.status, found.error) == ("failed", "the loss is not a number")


def test_a_run_that_leaves_no_result_is_tried_later(make: Make, spec: JobSpec) -> None:
    assert make("sys.exit(7)").run(spec, lambda _: None).status == "try_later"


def test_a_stop_leaves_the_run_to_go_on(make: Make, spec: JobSpec) -> None:
    stop = threading.Event()
    body = "(run_dir / 'work').mkdir(); say('training', step=1, steps=9); time.sleep(60)"
    assert make(body, stop).run(spec, lambda _: stop.set()).status == "stopped"
    assert (spec.run_dir / "work").is_dir(), "what it has done is there"
    assert make(LEARN).run(spec.model_copy(update={"attempt": 2}), lambda _: None).status == "done"


def test_a_run_that_is_told_to_end_has_failed_now_and_at_every_later_attempt(make: Make, spec: JobSpec) -> None:
    runner = make("say('training', step=1, steps=9); time.sleep(60)")
    assert runner.run(spec, lambda _: runner.end(RUN)).status == "failed"
    assert runner.run(spec, lambda _: None).status == "failed"
