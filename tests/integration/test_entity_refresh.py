"""The fast clock of entity recognition with the real training child: some more rows, and only what decides learns anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import spacy

from consumers.training_set.snapshot import load_training_set
from daemon.training.preparing.learnt import learnt_before
from registry.runs import Run
from tests.support import buffers
from tests.support.cycles import NAME, World, task
from tests.support.ner_rows import examples
from tests.support.runners import HereRunner
from trainers.job import spec as job_spec
from trainers.learners.protocols import Example
from trainers.learners.spacy.weights import Weights, weights_of

pytestmark = pytest.mark.slow

OLD, ALL = ("PERSON", "GPE"), ("PERSON", "GPE", "NEWS_ORG")


@dataclass
class Told:
    """What three runs left: a first champion, a refresh by twelve rows more, and a slow run by thirty."""

    world: World
    first: Run
    refresh: Run
    slow: Run


def learn(world: World, prefix: str, rows: Sequence[Example]) -> None:
    labels = [buffers.label(f"{prefix}-{at}", row.text, task=NAME, target=row.target) for at, row in enumerate(rows)]
    world.buffer.insert(buffers.stored(*labels))
    buffers.enrich(world.buffer, split=lambda row: "test" if row.row_id.startswith("test") else "train")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    spec = task(
        kind="ner", backend="spacy", base_model="blank:en",
        training={"full_epochs": 10, "full_learning_rate": 4e-3, "epochs": 8, "learning_rate": 2e-3},
        trigger={"min_new_examples": 30, "cooldown_minutes": 0, "max_age_days": 3650, "weekly": False},
        refresh={"enabled": True, "min_new_examples": 10, "cooldown_minutes": 0},
        promotion={"metric": "entity_f1", "min_test_examples": 30, "max_latency_ratio": 1000.0, "min_improvement": 0.01},
    )  # fmt: skip
    with World(tmp_path_factory.mktemp("refresh"), spec, runner=HereRunner()) as world:
        runs = []
        for number, (count, types) in enumerate(((60, OLD), (12, ALL), (30, ALL))):
            learn(world, f"test-{number}", distinct(40, f"held out {number}", seed=10 + number, types=types))
            learn(world, f"train-{number}", distinct(count, f"taught {number}", seed=20 + number, types=types))
            world.cycle.step()
            runs.append(world.registry.runs.list(limit=1)[0])
        yield Told(world, *runs)


def distinct(count: int, beginning: str, *, seed: int, types: tuple[str, ...]) -> list[Example]:
    """Rows of which no two have the same text."""
    found = []
    for at, row in enumerate(examples(count, seed=seed, types=types)):
        lead = f"{beginning}, case {at}: "
        spans = [span | {"start": span["start"] + len(lead), "end": span["end"] + len(lead)} for span in row.target["spans"]]
        found.append(Example(row.example_id, lead + row.text, {"spans": spans}))
    return found


def weights(told: Told, run: Run) -> tuple[Weights, Weights]:
    """The weights of what makes token vectors, and of the whole recogniser."""
    nlp = spacy.load(folder(told, run))
    model = nlp.get_pipe("ner").model
    return weights_of(model.get_ref("tok2vec").layers[0]), weights_of(model)


def folder(told: Told, run: Run) -> Path:
    assert run.version is not None
    return told.world.artifacts.folder(told.world.registry.versions.get(run.version).artifact_id)


def test_a_refresh_begins_at_its_own_threshold_and_learns_a_new_type(told: Told) -> None:
    assert (told.refresh.kind, told.refresh.parent) == ("refresh", told.first.version)
    frozen = load_training_set(told.world.run_folder(told.refresh) / job_spec.TRAINING_SET_FOLDER)
    assert frozen.manifest.new_rows == 12
    assert "NEWS_ORG" in spacy.load(folder(told, told.refresh)).get_pipe("ner").labels
    assert not (told.world.run_folder(told.refresh) / job_spec.FEATURES_FILE).exists()


def test_only_what_decides_is_new(told: Told) -> None:
    before, after = weights(told, told.first), weights(told, told.refresh)
    assert before[0].keys() == after[0].keys()
    assert all(np.array_equal(values, after[0][key]) for key, values in before[0].items())
    assert any(not np.array_equal(values, after[1][key]) for key, values in before[1].items())


def test_a_slow_run_learns_anew_what_only_refreshes_have_learnt(told: Told) -> None:
    assert told.slow.kind == "incremental"
    assert told.refresh.version is not None
    registry, spec = told.world.registry, told.world.tasks[NAME]
    slow = learnt_before(registry, told.refresh.version, spec, refresh=False)
    fast = learnt_before(registry, told.refresh.version, spec, refresh=True)
    assert (len(slow), len(fast)) == (60, 72)
    frozen = load_training_set(told.world.run_folder(told.slow) / job_spec.TRAINING_SET_FOLDER)
    champion = told.slow.parent
    assert frozen.manifest.new_rows == 42, "the refresh's rows and those since"
    assert champion in (told.first.version, told.refresh.version)
    assert any(
        not np.array_equal(values, weights(told, told.slow)[0][key]) for key, values in weights(told, told.first)[0].items()
    )
