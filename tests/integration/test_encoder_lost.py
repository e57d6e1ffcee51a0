"""A champion whose encoder cannot be loaded any more: a refresh fails and says so, and the champion goes on answering."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.cycles import World, better, task
from tests.unit.test_heads_bad_input import champion
from trainers.job import spec as job_spec
from trainers.job.spec import JobResult, JobSpec


def with_a_head(spec: JobSpec) -> JobResult:
    """What a child leaves, with a model that has a head and, where its encoder was, a file that no library reads."""
    result = better(spec)
    model = spec.run_dir / job_spec.MODEL_FOLDER
    (model / "config.json").unlink()
    model.rmdir()
    champion(model)
    return result.model_copy(update={"refreshable": True})


def later(world: World, count: int) -> None:
    world.learn((f"later-{number}", f"a later text {number}", "AB"[number % 2]) for number in range(count))


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
