"""Runs with the real training child on a tiny BERT: a first champion, an incremental one, and a run that changes nothing.

And what `perennial train` does beside the daemon's runs: one of them once more, and quick trials.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from config.settings import Settings, environment_of
from registry.runs import Run
from tests.support.commands import perennial_here
from tests.support.cycles import NAME, World, task
from tests.support.tiny_models import make_tiny_bert, toy_rows
from trainers.job import spec as job_spec

pytestmark = pytest.mark.slow


@dataclass
class Told:
    """What three runs left: two topics, then a third one appears, then nothing new to be learnt."""

    world: World
    first: Run
    incremental: Run
    idle: Run
    settings: Settings
    """With the task in a file, as commands read it."""

    def environment(self) -> dict[str, str]:
        return environment_of(self.settings)

    def recorded(self) -> object:
        """All that a run which is published or promoted would change."""
        return self.world.registry.runs.list(), self.world.registry.versions.list(), self.world.told(), self.folders()

    def folders(self) -> list[str]:
        return sorted(path.name for path in self.world.settings.runs_dir.iterdir())


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp("cycle")
    learning = {
        "epochs": 10,
        "full_epochs": 8,
        "learning_rate": 5e-3,
        "full_learning_rate": 5e-3,
        "batch_size": 16,
        "max_tokens": 32,
    }
    spec = task(
        base_model=str(make_tiny_bert(folder / "bert")),
        training=learning,
        promotion={"metric": "macro_f1", "min_test_examples": 30, "max_latency_ratio": 1000.0},
    )
    (folder / "tasks").mkdir()
    (folder / "tasks" / "toy.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json")))
    with World(folder, spec) as world:
        settings = world.settings.model_copy(update={"tasks_dir": str(folder / "tasks")})
        yield Told(world, _first(world), _incremental(world), _idle(world), settings)


def _rows(prefix: str, labels: tuple[str, ...], per_label: int, seed: int) -> Iterator[tuple[str, str, str]]:
    for row in toy_rows(labels, per_label, seed=seed):
        yield f"{prefix}-{row.example_id}", row.text, str(row.target["label"])


def _first(world: World) -> Run:
    world.learn(_rows("test", ("SPORT", "MARKETS"), 40, seed=1))
    world.learn(_rows("train", ("SPORT", "MARKETS"), 60, seed=2))
    world.cycle.step()
    return world.registry.runs.list(limit=1)[0]


def _incremental(world: World) -> Run:
    world.learn(_rows("test", ("WEATHER",), 40, seed=3))
    world.learn(_rows("train", ("WEATHER",), 60, seed=4))
    world.cycle.step()
    return world.registry.runs.list(limit=1)[0]


def _idle(world: World) -> Run:
    world.learn(_rows("train", ("SPORT",), 12, seed=5))
    world.cycle.step()
    return world.registry.runs.list(limit=1)[0]


def test_a_first_model_that_beats_the_majority_becomes_champion(told: Told) -> None:
    run = told.first
    assert (run.state, run.verdict, run.error, run.full) == ("decided", "promote", None, True)
    assert run.comparison is not None
    assert run.comparison["opponent"] == "baseline: most frequent label"
    assert run.comparison["candidate_score"] > 0.9
    assert run.comparison["rows"] == 80
    version = told.world.registry.versions.get(f"{NAME}/v1")
    assert version.parent is None
    assert version.metrics["labels"] == ["MARKETS", "SPORT"]


def test_an_incremental_run_learns_the_new_topic_beside_the_old_ones_and_is_promoted(told: Told) -> None:
    run = told.incremental
    assert (run.state, run.verdict, run.error, run.full) == ("decided", "promote", None, False)
    assert run.comparison is not None
    assert run.comparison["opponent"] == f"{NAME}/v1"
    slices = {part["name"]: part for part in run.comparison["slices"]}
    assert slices["label:WEATHER"]["champion_score"] == 0
    assert slices["label:WEATHER"]["candidate_score"] > 0.9
    assert slices["label:SPORT"]["candidate_score"] > 0.8
    version = told.world.registry.versions.get(f"{NAME}/v2")
    assert version.parent == f"{NAME}/v1"
    assert version.metrics["rows_new"] == 60
    assert version.metrics["rows_replayed"] > 0
    learnt = told.world.registry.versions.learnt(version.name)
    assert learnt >= told.world.registry.versions.learnt(f"{NAME}/v1")
    assert not any(example_id.startswith("test") for example_id in learnt)


def test_a_run_that_gains_nothing_keeps_the_champion_and_says_why(told: Told) -> None:
    run = told.idle
    assert run.state == "decided"
    assert run.verdict in ("keep", "insufficient_evidence")
    assert run.comparison is not None
    assert run.comparison["looks"] == 3, "the old rows were looked at twice before, the newer ones once"
    assert any(f"{NAME}/v2" in reason for reason in run.reasons)
    assert told.world.champion() == f"{NAME}/v2"
    assert {alias.name: alias.version for alias in told.world.registry.versions.aliases(NAME)}["previous"] == f"{NAME}/v1"


def test_scores_history_and_card_can_be_read_afterwards(told: Told) -> None:
    folder = told.world.run_folder(told.incremental)
    scores = pq.read_table(folder / job_spec.SCORES_FILE)
    assert scores.num_rows == 120
    phases = [json.loads(line)["phase"] for line in (folder / job_spec.HISTORY_FILE).read_text().splitlines()]
    assert list(dict.fromkeys(phases)) == ["starting", "training", "scoring", "done"]
    assert f"Against {NAME}/v1, on 120 test rows" in (folder / "card.md").read_text()
    assert (folder / "card.png").stat().st_size > 10_000
    assert not (folder / job_spec.MODEL_FOLDER).exists()


def _told(told: Told, *arguments: str, code: int = 0) -> Any:
    done = perennial_here(told, "train", *arguments, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_a_run_that_is_repeated_gives_the_same_bits_and_changes_nothing(told: Told) -> None:
    before = told.recorded()
    found = _told(told, "--from-manifest", f"{NAME}/v2")
    assert (found["run_id"], found["version"]) == (told.incremental.run_id, f"{NAME}/v2")
    assert (found["agrees"], found["expected"], found["tolerance"], found["model"]) == (True, "equal", 0, "identical")
    assert found["answers_same"] == found["answers"] == 120
    figures = {figure["name"]: figure for figure in found["figures"]}
    assert told.incremental.comparison is not None
    assert figures["candidate"]["now"] == told.incremental.comparison["candidate_score"]
    assert figures[f"{NAME}/v1"]["now"] == told.incremental.comparison["champion_score"]
    assert figures["label:WEATHER, candidate"]["agrees"]
    assert found["then"]["hardware"] == found["now"]["hardware"] == "CPU, fp32, 1 thread"
    assert told.recorded() == before, "nothing was published, promoted, announced or left"


def test_a_folder_from_elsewhere_is_repeated_without_a_registry_and_what_differs_ends_with_code_1(
    told: Told, tmp_path: Path
) -> None:
    folder = tmp_path / "copied"
    shutil.copytree(told.world.run_folder(told.incremental), folder)
    order = json.loads((folder / "spec.json").read_text())
    # From the base model, so that the champion is needed for nothing but its answers; and in one epoch, which teaches less.
    order["full"], order["task"]["training"]["full_epochs"] = True, 1
    (folder / "spec.json").write_text(json.dumps(order))
    elsewhere = told.settings.model_copy(update={"data_dir": tmp_path / "data"})
    found = _told(replace(told, settings=elsewhere), "--from-manifest", str(folder), code=1)
    assert (found["agrees"], found["version"], found["model"]) == (False, None, "unknown")
    figures = {figure["name"]: figure for figure in found["figures"]}
    assert not figures["candidate"]["agrees"]
    champion = figures[f"{NAME}/v1"]
    assert champion["then"] == champion["now"]
    assert f"The original champion {NAME}/v1 is not available" in found["notes"][0]
    assert list((tmp_path / "data" / "runs").iterdir()) == []


def test_a_run_that_started_from_a_champion_that_is_gone_says_how_to_get_it_back(told: Told, tmp_path: Path) -> None:
    elsewhere = told.settings.model_copy(update={"data_dir": tmp_path})
    folder = told.world.run_folder(told.incremental)
    done = perennial_here(replace(told, settings=elsewhere), "train", "--from-manifest", str(folder))
    assert done.returncode == 2
    for said in (f"started from {NAME}/v1, which is not available", "no registry", "copy them to `champion` in", "--full`"):
        assert said in done.stderr
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_trial_learns_from_a_part_tells_three_scores_and_leaves_nothing(told: Told) -> None:
    before = told.recorded()
    found = _told(told, NAME, "--downsample", "40%", "--full", "--epochs", "4", "--gradient-accumulation", "2")
    assert (found["published"], found["promoted"], found["full"], found["went_on_from"]) == (False, False, True, None)
    assert found["set_for_it"] == {"epochs": 4, "gradient_accumulation": 2}
    assert (found["learnt"], found["learnt_of"]) == (77, 192)
    assert 30 <= found["tested"] < found["tested_of"] == 120
    scores = {score["who"]: score for score in found["scores"]}
    assert list(scores) == ["trial", "champion", "baseline"]
    assert scores["champion"]["name"] == f"{NAME}/v2"
    assert scores["champion"]["score"] > 0.9
    assert scores["baseline"]["score"] == pytest.approx(1 / 6, abs=0.01), "one label of three, always"
    assert found["gain"] == pytest.approx(scores["trial"]["score"] - scores["champion"]["score"])
    assert 0 < found["train_s"] < found["seconds"]
    assert told.recorded() == before
