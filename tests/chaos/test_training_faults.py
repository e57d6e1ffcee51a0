"""A real training child that the kernel kills for its memory, or that hangs: the run goes on later; the champion stays."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

from daemon.training.runners.local import LocalRunner
from registry.runs import Run
from tests.support.cycles import NAME, World, task
from tests.support.registries import check_invariants
from tests.support.tiny_models import make_tiny_bert, toy_rows
from trainers.job.spec import WORK_FOLDER, read_spec

pytestmark = pytest.mark.slow

LIMIT_S = 3.0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("training")
    spec = task(
        base_model=str(make_tiny_bert(folder / "bert")),
        training={"full_epochs": 8, "full_learning_rate": 5e-3, "batch_size": 16, "max_tokens": 32},
        promotion={"metric": "macro_f1", "min_test_examples": 30, "max_latency_ratio": 1000.0},
    )
    with World(folder, spec, stop_grace_s=1.0) as made:
        for prefix, per_label, seed in (("test", 40, 1), ("train", 60, 2)):
            rows = toy_rows(("SPORT", "MARKETS"), per_label, seed=seed)
            made.learn((f"{prefix}-{row.example_id}", row.text, str(row.target["label"])) for row in rows)
        yield made


def children() -> list[psutil.Process]:
    """Return the training children of this process that live."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "trainers.job" in child.cmdline():
                found.append(child)
    return found


@contextmanager
def struck(number: signal.Signals, times: int) -> Iterator[list[int]]:
    """Send a signal to the next `times` training children; yield their process ids."""
    pids: list[int] = []
    done = threading.Event()

    def strike() -> None:
        while not done.wait(0.02) and len(pids) < times:
            for child in children():
                if child.pid not in pids:
                    pids.append(child.pid)
                    with suppress(psutil.NoSuchProcess):
                        child.send_signal(number)

    thread = threading.Thread(target=strike, daemon=True)
    thread.start()
    try:
        yield pids
    finally:
        done.set()
        thread.join()


def attempts(world: World, run: Run) -> tuple[int, int]:
    """Return number and batch size of the last attempt at a run."""
    spec = read_spec(world.run_folder(run))
    return spec.attempt, spec.batch_size


def check(world: World) -> None:
    """Nothing of a child is left, no checkpoint of a run that has ended either, and the champion is whole."""
    assert children() == []
    assert list(world.settings.runs_dir.glob(f"*/{WORK_FOLDER}")) == []
    check_invariants(world.registry, NAME)
    champion = world.registry.versions.champion(NAME)
    assert champion is not None
    version = world.registry.versions.get(champion.version)
    world.artifacts.fetch(version.artifact_id, version.manifest_sha256)


def test_out_of_memory_once_it_goes_on_at_half_the_batch(world: World) -> None:
    with struck(signal.SIGKILL, times=1) as pids:
        world.cycle.step()
    (run,) = world.registry.runs.list()
    assert len(pids) == 1
    assert (run.state, run.verdict, run.error) == ("decided", "promote", None)
    assert attempts(world, run) == (2, 8)
    check(world)


def test_out_of_memory_twice_the_same_run_is_tried_again_later(world: World) -> None:
    rows = toy_rows(("SPORT", "MARKETS"), 10, seed=3)
    world.learn((f"train-{row.example_id}", row.text, str(row.target["label"])) for row in rows)
    with struck(signal.SIGKILL, times=3) as pids:
        world.cycle.step()
        world.cycle.step()
    run, _first = world.registry.runs.list()
    assert len(pids) == 2, "its pause is not over"
    assert (run.state, run.failures) == ("training", 1)
    assert "out of memory again at batch size 8" in str(run.error)
    assert children() == []
    world.clock.forward(60)
    world.cycle.step()
    again, _first = world.registry.runs.list()
    assert (again.run_id, again.state, again.error) == (run.run_id, "decided", None)
    assert attempts(world, again)[1] == 8, "it stays at half the batch"
    check(world)


def test_a_child_that_is_frozen_is_noticed_by_its_silence_and_the_run_goes_on_later(world: World) -> None:
    world.runner = LocalRunner(world.settings.training.model_copy(update={"stall_limit_s": LIMIT_S}), world.stop)
    cycle = world.next_cycle()
    with struck(signal.SIGSTOP, times=1) as pids:
        run = world.ask("request:frozen", full=True)
    assert len(pids) == 1
    assert (run.state, run.failures) == ("training", 1)
    assert "reported no progress" in str(run.error)
    assert children() == []
    world.runner = LocalRunner(world.settings.training, world.stop)
    cycle = world.next_cycle()
    world.clock.forward(60)
    cycle.step()
    assert world.registry.runs.get(run.run_id).state == "decided"
    check(world)


def test_a_child_that_hangs_is_killed_at_the_limit(world: World) -> None:
    world.runner = LocalRunner(world.settings.training.model_copy(update={"time_limit_s": LIMIT_S}), world.stop)
    cycle = world.next_cycle()
    began = time.monotonic()
    with struck(signal.SIGSTOP, times=1) as pids:
        run = world.ask()
    assert time.monotonic() - began >= LIMIT_S
    assert len(pids) == 1
    assert run.state == "failed"
    assert f"its time limit of {LIMIT_S:.0f} s" in str(run.error)
    check(world)
    cycle.step()
    assert world.told().count("training.failed") == 1
