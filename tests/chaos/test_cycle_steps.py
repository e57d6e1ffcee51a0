"""kill -9 at every step of a run: frozen, trained, published, promoted, decided. The next process finishes it, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import cycle_victim
from tests.support.cycles import NAME, World, better, task
from tests.support.failpoints import kill_at_every_step
from tests.support.registries import check_invariants

pytestmark = pytest.mark.slow

FEWEST_STEPS = 18
ANNOUNCED = ["training.started", "model.promoted", "training.finished"]


def test_killed_at_any_step_a_run_is_finished_once_and_there_is_one_champion(tmp_path: Path) -> None:
    killed = kill_at_every_step(Path(cycle_victim.__file__), tmp_path)
    assert killed >= FEWEST_STEPS
    champions = [recover(tmp_path / f"killed-{number}") for number in range(killed)]
    assert champions == sorted(champions), "the old champion up to one moment, the new one ever after"
    assert set(champions) == {f"{NAME}/v1", f"{NAME}/v2"}
    assert recover(tmp_path / f"killed-{killed}") == f"{NAME}/v2"


def recover(folder: Path) -> str | None:
    """Let the next process go on; return the champion that it found."""
    with World(folder, task(), train=better) as world:
        check_invariants(world.registry, NAME)
        found = world.registry.versions.champion(NAME)
        assert found is not None
        served = world.registry.versions.get(found.version)
        world.artifacts.fetch(served.artifact_id, served.manifest_sha256)
        world.cycle.step()
        check_invariants(world.registry, NAME)
        second, first = world.registry.runs.list()
        assert (first.state, second.state, second.version) == ("decided", "decided", f"{NAME}/v2")
        assert world.champion() == f"{NAME}/v2"
        assert world.told() == ANNOUNCED * 2
        versions = world.registry.versions.list()
        assert sorted(version.artifact_id for version in versions) == world.artifacts.list(), (
            "each has its files, and nobody else"
        )
        assert world.registry.looks.count(NAME, [f"test-{number}" for number in range(10)]) == {
            f"test-{number}": 2 for number in range(10)
        }
        return found.version
