"""The sandbox with its real child: what a candidate may not do if it is to be promoted, and what is not its fault."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from consumers.training_set.snapshot import load_training_set
from daemon.training.sandbox.order import FOLDER
from daemon.training.sandbox.protocol import recorded
from registry.reports import cards
from registry.runs import Run
from tests.support import sandboxed_format
from tests.support.cycles import NAME, World, better, task
from tests.support.served import eventually
from trainers.job import spec as job_spec
from trainers.job.spec import JobResult, JobSpec

pytestmark = [pytest.mark.slow, pytest.mark.process]

ROOT = Path(__file__).parents[2]


def trained_as(how: str, *, name: str = sandboxed_format.FORMAT) -> Callable[[JobSpec], JobResult]:
    """A run whose candidate is clearly better in the comparison, and misbehaves so when it is opened and asked."""

    def train(spec: JobSpec) -> JobResult:
        result = better(spec)
        assert result.model is not None
        sandboxed_format.written(result.model, how, name=name)
        rows = load_training_set(spec.training_set).rows("test")
        said = [json.dumps(sandboxed_format.said_of(text)) for text in rows["text"].to_pylist()]
        pq.write_table(
            pa.table({"example_id": rows["example_id"], "candidate": pa.array(said)}), spec.run_dir / job_spec.SCORES_FILE
        )
        return result

    return train


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with World(tmp_path, task(), train=trained_as("is all right")) as made:
        made.use_sandbox(modules=sandboxed_format.MODULE, texts=40, time_limit_s=120.0)
        made.grow(30)
        yield made


def run_of(world: World, how: str, **more: str) -> Run:
    world.train_with(trained_as(how, **more))
    world.cycle.step()
    return world.registry.runs.list(limit=1)[0]


def test_a_candidate_that_answers_everything_is_promoted_and_the_figures_are_kept(world: World) -> None:
    run = run_of(world, "is all right")
    assert (run.verdict, world.champion()) == ("promote", f"{NAME}/v1")
    version = world.registry.versions.get(f"{NAME}/v1")
    found = recorded(version)
    assert found is not None
    assert (found.outcome, found.scope, found.reason, found.texts, found.compared, found.differ) == (
        "passed",
        "model",
        "",
        40,
        10,
        0,
    )
    assert found.p50_ms is not None
    assert found.p95_ms is not None
    assert 0 < found.p50_ms <= found.p95_ms
    assert min(found.load_s, found.peak_memory_mib, found.size_mib, found.cpu_s or 0) > 0
    assert run.cpu_s is not None
    assert run.cpu_s >= (found.cpu_s or 0)
    assert not (world.run_folder(run) / FOLDER).exists()
    (section,) = [one for one in cards.sections(world.registry, version.name) if one.title == "Sandbox"]
    assert section.text[0].startswith("**Passed.**")
    (told,) = [row.event for row in world.registry.outbox.pending(limit=99) if row.event["type"] == "training.finished"]
    assert told["sandbox"] == "passed"


@pytest.mark.parametrize(("how", "said"), [("is killed", "killed twice by SIGKILL"), ("exits", "ended with code 7")])
def test_a_candidate_that_ends_its_process_is_refused_with_the_reason(world: World, how: str, said: str) -> None:
    run = run_of(world, how)
    assert (run.state, run.verdict, world.champion()) == ("decided", "keep", None)
    assert run.reasons[0].startswith("Not promoted: the sandbox refused it")
    assert said in run.reasons[0]
    version = world.registry.versions.get(f"{NAME}/v1")
    assert said in (version.refused_by_sandbox or "")
    (told,) = [row.event for row in world.registry.outbox.pending(limit=99) if row.event["type"] == "training.finished"]
    assert (told["sandbox"], told["verdict"]) == ("failed", "keep")


def test_one_that_hangs_is_killed_at_the_time_limit(world: World) -> None:
    world.use_sandbox(modules=sandboxed_format.MODULE, time_limit_s=8.0)
    run = run_of(world, "hangs")
    assert (run.verdict, world.champion()) == ("keep", None)
    assert "sandbox.time_limit_s" in run.reasons[0]


def test_one_that_needs_more_memory_than_it_may_have_is_refused(world: World) -> None:
    world.use_sandbox(modules=sandboxed_format.MODULE, memory_limit_mib=3_000)
    assert "sandbox.memory_limit_mib" in run_of(world, "eats memory").reasons[0]


def test_damaged_files_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    publish = world.artifacts.publish

    def damaged(*args: object) -> object:
        published = publish(*args)  # type: ignore[arg-type]  # passed through
        (published.folder / "how").write_text("changed")
        return published

    monkeypatch.setattr(world.artifacts, "publish", damaged)
    assert "damaged" in run_of(world, "is all right").reasons[0]


def test_an_example_of_the_task_file_as_it_is_now_is_asked(world: World) -> None:
    world.tasks[NAME] = task(must_not_break=[{"text": "four", "label": "A"}, {"text": "three", "label": "A"}])
    run = run_of(world, "is all right")
    assert (run.verdict, world.champion()) == ("keep", None)
    assert "1 of 2 examples of must_not_break is broken" in run.reasons[0]
    assert "'three'" in run.reasons[0]
    assert "must_not_break" not in world.registry.versions.get(f"{NAME}/v1").lineage.settings["task"]


def test_a_fault_of_the_machine_is_tried_again_and_refuses_nothing(world: World) -> None:
    run = run_of(world, "finds the disk full")
    assert (run.state, run.verdict, run.failures) == ("published", None, 1)
    assert run.retry_at is not None
    assert recorded(world.registry.versions.get(f"{NAME}/v1")) is None


@pytest.mark.parametrize(
    "child",
    [
        "import sys; sys.exit(1)",
        "import os, sys; open(os.path.join(sys.argv[1], 'findings.json'), 'w').write('{\"outcome\": \"of another version\"}')",
    ],
    ids=["cannot read its order", "its findings cannot be read"],
)
def test_a_child_of_another_version_of_the_program_refuses_nothing(world: World, child: str) -> None:
    world.use_sandbox(modules=sandboxed_format.MODULE, command=(sys.executable, "-c", child))
    run = run_of(world, "is all right")
    assert (run.state, run.verdict, run.failures) == ("published", None, 1)
    assert "Restart the daemon" in (run.error or "")
    assert recorded(world.registry.versions.get(f"{NAME}/v1")) is None


def test_an_artifact_store_that_is_away_is_waited_for(world: World) -> None:
    train = trained_as("is all right")
    away = world.settings.data_dir / "away"
    folder = world.settings.artifacts_dir
    publish = world.artifacts.publish

    def gone(*args: object) -> object:
        published = publish(*args)  # type: ignore[arg-type]  # passed through
        Path(str(folder)).rename(away)
        return published

    world.artifacts.publish = gone  # type: ignore[method-assign,assignment]  # the fault
    world.train_with(train)
    world.cycle.step()
    run = world.only_run()
    assert (run.state, run.failures) == ("published", 1)
    assert "artifact store" in (run.error or "")
    away.rename(Path(str(folder)))
    world.clock.forward(3_600)
    world.cycle.step()
    assert (world.only_run().verdict, world.champion()) == ("promote", f"{NAME}/v1")


def test_a_daemon_that_is_killed_in_the_sandbox_leaves_no_child_and_the_next_one_goes_on_there(
    world: World, tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    daemon = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], start_new_session=True)
    try:
        eventually(lambda: _sandbox_of(daemon.pid) is not None, within_s=300.0)
        child = _sandbox_of(daemon.pid)
    finally:
        daemon.kill()
        daemon.wait()
    assert child is not None
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, within_s=60.0)
    with World(folder, task(), train=trained_as("is all right")) as after:
        run = after.only_run()
        assert (run.state, run.version, after.champion()) == ("published", f"{NAME}/v1", None)
        assert recorded(after.registry.versions.get(f"{NAME}/v1")) is None
        after.cycle.step()
        assert (after.only_run().verdict, after.champion()) == ("promote", f"{NAME}/v1")


KILLED = """
import sys
from pathlib import Path
from tests.integration.test_sandbox import trained_as
from tests.support import sandboxed_format
from tests.support.cycles import World, task
with World(Path(sys.argv[1]), task(), train=trained_as("hangs")) as world:
    world.use_sandbox(modules=sandboxed_format.MODULE, time_limit_s=600.0)
    world.grow(30)
    world.cycle.step()
"""


def _sandbox_of(pid: int) -> psutil.Process | None:
    """Return the sandbox's child of a process."""
    for child in psutil.Process(pid).children():
        # One that has ended meanwhile has no command line.
        with contextlib.suppress(psutil.NoSuchProcess):
            if "daemon.serving.sandbox" in child.cmdline():
                return child
    return None
