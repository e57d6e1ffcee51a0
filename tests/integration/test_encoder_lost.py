"""A champion whose encoder cannot be loaded any more: a refresh fails and says so, and the champion goes on answering."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from config.errors import RunFailedError
from perennial_artifact.description import Description, Input
from registry.database.schema import versions
from tests.support.cycles import Train, World, better, task
from tests.unit.test_heads_bad_input import champion
from trainers.job import spec as job_spec
from trainers.job.spec import JobResult, JobSpec
from trainers.learners.heads.published.conversion import OLD_FORMAT


def with_a_head(spec: JobSpec) -> JobResult:
    """What a child leaves, with a model that has a head and, where its encoder was, a file that no library reads."""
    result = better(spec)
    model = spec.run_dir / job_spec.MODEL_FOLDER
    (model / "config.json").unlink()
    model.rmdir()
    champion(model)
    return result.model_copy(update={"refreshable": True})


def later(world: World, count: int, *, since: int = 0) -> None:
    world.learn((f"later-{since + n}", f"a later text {since + n}", "AB"[n % 2]) for n in range(count))


@pytest.fixture
def world(tmp_path: Path) -> World:
    spec = task(
        trigger={"min_new_examples": 100, "cooldown_minutes": 0, "weekly": False},
        refresh={"min_new_examples": 10, "cooldown_minutes": 0},
    )
    return World(tmp_path, spec, train=with_a_head)


def test_a_refresh_fails_by_name_and_the_champion_stays(world: World) -> None:
    with world:
        world.grow(100)
        world.cycle.step()
        first = world.champion()
        assert first is not None
        later(world, 12)
        with capture_logs() as lines:
            world.cycle.step()
        run = world.registry.runs.list(limit=1)[0]
        assert run.refresh
        assert (run.state, run.version) == ("failed", None)
        assert run.error is not None
        assert "it is not used. Publish the version again or roll back" in run.error
        assert world.champion() == first
        assert not [line for line in lines if line["event"] == "run.step_failed"], "it was foreseen: no traceback"
        assert world.look().trigger is None, "the same examples start no second refresh"
        later(world, 30, since=12)
        world.cycle.step()
        assert world.registry.runs.list(limit=1)[0] == run, "nor do others, before a run has made another champion"
        assert any("cannot be solved by itself" in reason for reason in world.look().reasons)
        world.train_with(better)
        assert world.ask(full=True).verdict == "promote"
        assert not any("by itself" in reason for reason in world.look().reasons)


def test_published_files_that_are_damaged_stop_refreshes_too(world: World) -> None:
    with world:
        world.grow(100)
        world.cycle.step()
        champion = world.registry.versions.get(world.champion() or "")
        (world.artifacts.folder(champion.artifact_id) / "encoder.txt").write_bytes(b"other weights")
        later(world, 12)
        world.cycle.step()
        run = world.registry.runs.list(limit=1)[0]
        assert (run.refresh, run.state) == (True, "failed")
        later(world, 30, since=12)
        world.cycle.step()
        assert world.registry.runs.list(limit=1)[0] == run


def test_what_may_pass_by_itself_is_tried_again_with_later_examples(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_many_open_files(_self: object, _id: str, _hash: str) -> Path:
        message = "the files cannot be read"
        raise RunFailedError(message) from OSError(errno.EMFILE, "too many open files")

    with world:
        world.grow(100)
        world.cycle.step()
        later(world, 12)
        with monkeypatch.context() as patched:
            patched.setattr(type(world.artifacts), "fetch", too_many_open_files)
            world.cycle.step()
        run = world.registry.runs.list(limit=1)[0]
        assert (run.refresh, run.state) == (True, "failed")
        later(world, 12, since=12)
        due = world.look().trigger
        assert due is not None
        assert due.kind == "refresh"


def of_the_first_release(model_type: str) -> Train:
    """A child whose model is a classifier as the first release wrote it; it records nothing of its head."""

    def train(spec: JobSpec) -> JobResult:
        result = better(spec)
        model = spec.run_dir / job_spec.MODEL_FOLDER
        (model / "config.json").write_text(json.dumps({"model_type": model_type}), encoding="utf-8")
        Description("classification", "transformer", OLD_FORMAT, "tiny", ("A", "B"), Input(16)).write(model)
        return result

    return train


@pytest.mark.parametrize(("model_type", "known"), [("bert", True), ("gpt2", False)])
def test_a_head_of_an_unknown_architecture_is_never_tried(world: World, model_type: str, known: bool) -> None:
    with world:
        world.grow(100)
        world.train_with(of_the_first_release(model_type))
        world.cycle.step()
        first = world.champion()
        assert first is not None
        forget_what_is_said_of_the_head(world, first)
        later(world, 12)
        world.cycle.step()
        newest = world.registry.runs.list(limit=1)[0]
        assert newest.refresh is known
        assert world.registry.versions.get(first).metrics["refreshable"] is False
        [told] = [reason for reason in world.look().reasons if "cannot be solved by itself" in reason]
        assert ("gpt2" in told) is not known, "of a known one the weights were missing"


def forget_what_is_said_of_the_head(world: World, name: str) -> None:
    with world.registry.database.write() as connection:
        metrics = dict(world.registry.versions.get(name).metrics)
        del metrics["refreshable"]
        connection.execute(sa.update(versions).where(versions.c.name == name).values(metrics=metrics))


def test_a_slow_run_goes_on_without_asking_whether_tuning_pays(world: World) -> None:
    with world:
        world.grow(100)
        world.cycle.step()
        later(world, 110)
        with capture_logs() as lines:
            world.cycle.step()
        [told] = [line for line in lines if line["event"] == "features.not_prepared"]
        assert told["next"] == "the run tunes without asking whether it pays"
        run = world.registry.runs.list(limit=1)[0]
        assert (run.refresh, run.state) == (False, "decided")
