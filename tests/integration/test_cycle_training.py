"""Runs with the real training child on a tiny BERT: a first champion, an incremental one, and a run that changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.parquet as pq
import pytest

from registry.runs import Run
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
    with World(folder, spec) as world:
        yield Told(world, _first(world), _incremental(world), _idle(world))


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
