"""What a run has left when somebody wants to repeat it: each thing that is gone is named, with what is possible."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from config.errors import UserError
from daemon.operations.repeating import left
from registry.database import schema
from registry.runs import Run
from tests.support.cycles import NAME, World, better, failing, task
from tests.support.scored import labelled
from trainers.job import spec as job_spec
from trainers.job.spec import JobResult, JobSpec


def with_scores(spec: JobSpec) -> JobResult:
    pq.write_table(labelled("AB", "AB", "BA"), spec.run_dir / job_spec.SCORES_FILE)
    return better(spec)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path, task(), train=with_scores, keep_runs=2) as made:
        made.grow(10)
        yield made


@pytest.fixture
def run(world: World) -> Run:
    return world.ask()


def refused(world: World, which: str) -> str:
    with pytest.raises(UserError) as caught:
        left.find(world.settings, world.registry, which)
    return str(caught.value)


def test_a_run_is_found_by_its_id_its_version_and_its_folder(world: World, run: Run) -> None:
    found = [left.find(world.settings, world.registry, which) for which in (run.run_id, f"{NAME}/v1")]
    found.append(left.find(world.settings, world.registry, str(world.run_folder(run))))
    assert {one.run_dir for one in found} == {world.run_folder(run).resolve()}
    assert all(one.version is not None and one.version.name == f"{NAME}/v1" for one in found)
    assert found[0].training_set.manifest.rows_sha256 == run.training_set_sha256
    elsewhere = left.find(world.settings, None, str(world.run_folder(run)))
    assert elsewhere.version is None


def test_what_is_no_run_is_told_with_where_to_look(world: World) -> None:
    assert "no run, version or run folder 'nothing'; `perennial runs` lists" in refused(world, "nothing")
    assert "there is no version" in refused(world, f"{NAME}/v9")
    with pytest.raises(UserError, match="nothing has run in"):
        left.find(world.settings, None, "nothing")


def test_a_folder_that_was_erased_cannot_be_had_again(world: World, run: Run) -> None:
    shutil.rmtree(world.run_folder(run))
    with world.registry.database.write() as connection:
        connection.execute(sa.update(schema.runs).values(erased_at=world.clock()))
    told = refused(world, f"{NAME}/v1")
    assert "2024-05-01 12:00 UTC, because its training set contained erased texts" in told
    assert "cannot be restored" in told
    assert f"`perennial train {NAME} --full` trains on the rows that are in the buffer now" in told
    assert f"`perennial models show {NAME}/v1`" in told


def test_a_folder_past_its_time_is_told_with_the_setting_and_the_backup(world: World, run: Run) -> None:
    shutil.rmtree(world.run_folder(run))
    told = refused(world, run.run_id)
    assert "only the folders of the newest 2 runs are kept (training.keep_runs)" in told
    assert "If a backup contains the folder" in told


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("training_set/rows.parquet", "training_set/rows.parquet of run"),
        ("scores.parquet", "scores.parquet of run"),
        ("result.json", "result.json of run"),
    ],
)
def test_one_file_that_is_gone_is_named(world: World, run: Run, name: str, told: str) -> None:
    (world.run_folder(run) / name).unlink()
    assert told in refused(world, run.run_id)


def changed_rows(folder: Path) -> None:
    (folder / "training_set" / "rows.parquet").write_bytes(b"other rows")


def torn_order(folder: Path) -> None:
    (folder / "spec.json").write_text('{"run_id": ')


def torn_result(folder: Path) -> None:
    (folder / "result.json").write_text("{")


def another_set(folder: Path) -> None:
    manifest = json.loads((folder / "training_set" / "manifest.json").read_text())
    (folder / "training_set" / "manifest.json").write_text(json.dumps(manifest | {"rows_sha256": "0" * 64}))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (changed_rows, "has changed since it was frozen (its SHA-256 differs). Nothing was trained"),
        (torn_order, "the order in"),
        (torn_result, "cannot be read: there are no results"),
        (another_set, "is not the one of run"),
    ],
)
def test_what_is_damaged_is_refused(world: World, run: Run, damage: Callable[[Path], None], told: str) -> None:
    damage(world.run_folder(run))
    assert told in refused(world, run.run_id)


def test_a_failed_run_has_nothing_to_compare_with(tmp_path: Path) -> None:
    with World(tmp_path, task(), train=failing) as world:
        world.grow(10)
        run = world.ask()
        assert f"run {run.run_id} failed and has no results to compare with (the loss is not a number)" in refused(
            world, run.run_id
        )
