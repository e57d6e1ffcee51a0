"""A run folder holds all that its run needs: carried out elsewhere, without what it was made from, it gives the same."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from config.settings import SHIPPED_TASKS_DIR, load_settings
from config.tasks import TaskSpec, load_task
from daemon.training.runners.local import LocalRunner
from registry.runs import Run
from tests.support.cycles import NAME, MadeUpRunner, World, better, task
from tests.support.ner_rows import examples, training_set
from trainers.job import spec as job_spec
from trainers.job.spec import JobResult, JobSpec

LEARNING = {"full_epochs": 3, "epochs": 2, "full_learning_rate": 4e-3, "learning_rate": 2e-3, "replay_ratio": 1.0}


def ordered(run_dir: Path, *, rows: int, old: int = 0, champion: Path | None = None) -> JobSpec:
    values = load_task(SHIPPED_TASKS_DIR / "news-entities.yaml").model_dump()
    values["training"] |= LEARNING
    training_set(run_dir / job_spec.TRAINING_SET_FOLDER, train=examples(rows), test=examples(20, seed=1), old=old)
    if champion is not None:
        shutil.copytree(champion, run_dir / job_spec.CHAMPION_FOLDER)
    return JobSpec(
        run_id=run_dir.name, task=TaskSpec.model_validate(values), full=champion is None,
        training=load_settings().training.model_copy(update={"threads": 1, "device": "cpu", "precision": "fp32"}),
        training_set=run_dir / job_spec.TRAINING_SET_FOLDER, run_dir=run_dir,
        champion=None if champion is None else run_dir / job_spec.CHAMPION_FOLDER,
        champion_version=None if champion is None else "news-entities/v1", batch_size=4,
    )  # fmt: skip


def outcome(run_dir: Path) -> dict[str, Any]:
    """What a run found, without what takes time."""
    result = job_spec.read_result(run_dir)
    assert result is not None
    assert result.comparison is not None
    timed = {"candidate_latency", "champion_latency"}
    return {
        "comparison": result.comparison.model_dump(exclude=timed),
        "rows": (result.rows_new, result.rows_replayed, result.labels),
        "scores": pq.read_table(run_dir / job_spec.SCORES_FILE).to_pylist(),
        "model": {path.relative_to(run_dir): path.read_bytes() for path in run_dir.glob("model/**/*") if path.is_file()},
    }


@pytest.mark.slow
def test_a_folder_that_was_carried_away_gives_the_same_result(tmp_path: Path) -> None:
    runner = LocalRunner(load_settings().training, threading.Event())
    first = runner.run(ordered(tmp_path / "first", rows=40), lambda _: None)
    assert first.model is not None, first.error
    spec = ordered(tmp_path / "second", rows=60, old=40, champion=first.model)
    runner.prepare(spec)
    elsewhere = shutil.copytree(spec.run_dir, tmp_path / "another machine" / "run")
    assert runner.run(spec, lambda _: None).status == "done"
    here = outcome(spec.run_dir)
    shutil.rmtree(tmp_path / "first")
    shutil.rmtree(spec.run_dir)

    done = subprocess.run(
        [sys.executable, "-P", "-m", "trainers.job", str(elsewhere / job_spec.SPEC_FILE)],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == job_spec.EXIT_DONE, done.stderr
    assert outcome(elsewhere) == here
    assert str(tmp_path) not in (elsewhere / job_spec.RESULT_FILE).read_text()


class TestChampion:
    """The champion's files in the folder of a run, as the cycle puts them there."""

    def test_it_is_there_while_the_run_needs_it_and_costs_no_room(self, tmp_path: Path) -> None:
        seen: list[bool] = []

        def looking(spec: JobSpec) -> JobResult:
            if spec.champion is not None:
                version = world.registry.versions.get(spec.champion_version or "")
                published = world.artifacts.folder(version.artifact_id)
                seen.append(spec.champion == spec.run_dir / job_spec.CHAMPION_FOLDER)
                seen.append((spec.champion / "config.json").samefile(published / "config.json"))
            return better(spec)

        with World(tmp_path, task(), train=looking) as world:
            world.grow(12)
            world.ask("first")
            world.grow(12, "more")
            run = world.ask("second")
            assert run.state == "decided"
            assert seen == [True, True]
            assert not (world.run_folder(run) / job_spec.CHAMPION_FOLDER).exists()
            for version in world.registry.versions.list(NAME):
                world.artifacts.fetch(version.artifact_id, version.manifest_sha256)

    def test_an_order_of_the_release_before_goes_on(self, tmp_path: Path) -> None:
        def stopping(spec: JobSpec) -> JobResult:
            world.stop.set()
            return JobResult(run_id=spec.run_id, status="stopped", error="stopped; it goes on at the next start")

        def going_on(spec: JobSpec) -> JobResult:
            assert spec.champion == spec.run_dir / job_spec.CHAMPION_FOLDER
            assert spec.champion.is_dir()
            job_spec.write_spec(spec)
            return better(spec)

        with World(tmp_path, task(), train=better) as world:
            assert isinstance(world.runner, MadeUpRunner)
            world.grow(12)
            world.ask("first")
            world.grow(12, "more")
            world.runner.train = stopping
            run = world.ask("second")
            assert run.state == "training"
            as_the_release_before(world, run)
            world.runner.train = going_on
            run = world.next_cycle().advance(run)
            assert (run.state, run.parent, run.version) == ("decided", f"{NAME}/v1", f"{NAME}/v2")


def test_files_of_the_release_before_that_were_moved_are_read_where_they_are(tmp_path: Path) -> None:
    spec = ordered(tmp_path / "here" / "run", rows=4)
    before = tmp_path / "there" / "run"
    order = spec.model_dump(mode="json") | {
        "run_dir": str(before), "training_set": str(before / "training_set"),
        "champion": "/there/artifacts/v1", "champion_version": "news-entities/v1",
    }  # fmt: skip
    (spec.run_dir / job_spec.SPEC_FILE).write_text(json.dumps(order))
    told = JobResult(run_id=spec.run_id, status="done", model=before / job_spec.MODEL_FOLDER)
    (spec.run_dir / job_spec.RESULT_FILE).write_text(told.model_dump_json())
    read = job_spec.read_spec(spec.run_dir)
    assert (read.run_dir, read.training_set) == (spec.run_dir, spec.training_set)
    assert read.champion == Path("/there/artifacts/v1"), "the cycle places it again by its version"
    result = job_spec.read_result(spec.run_dir)
    assert result is not None
    assert result.model == spec.run_dir / job_spec.MODEL_FOLDER


def as_the_release_before(world: World, run: Run) -> None:
    """Write the run's order by absolute paths, with the champion where it was published."""
    folder = world.run_folder(run)
    version = world.registry.versions.get(f"{NAME}/v1")
    order = json.loads((folder / job_spec.SPEC_FILE).read_text()) | {
        "run_dir": str(folder), "training_set": str(folder / job_spec.TRAINING_SET_FOLDER),
        "champion": str(world.artifacts.folder(version.artifact_id)),
    }  # fmt: skip
    (folder / job_spec.SPEC_FILE).write_text(json.dumps(order))
    shutil.rmtree(folder / job_spec.CHAMPION_FOLDER)
