"""The fast clock with the real training child: a champion, a few more rows, and its head is solved anew in seconds."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest

from consumers.training_set.snapshot import load_training_set
from daemon.operations.repeating.repeat import repeat
from daemon.training.due import evidence
from daemon.training.sandbox.protocol import recorded
from perennial_artifact.compute import Compute
from perennial_artifact.description import describe
from perennial_artifact.formats import open_after, open_model
from perennial_artifact.sentence.head import Head
from perennial_artifact.sentence.layout import FORMAT, HEAD_FOLDER, WEIGHTS_FILE
from tests.support.cycles import NAME, Refreshed, World, task
from tests.support.tiny_models import make_tiny_bert, toy_rows
from trainers.job import spec as job_spec
from trainers.learners.features import read_features

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Refreshed]:
    folder = tmp_path_factory.mktemp("refresh")
    spec = task(
        base_model=str(make_tiny_bert(folder / "bert")),
        training={"full_epochs": 6, "full_learning_rate": 5e-3, "batch_size": 16, "max_tokens": 32},
        trigger={"min_new_examples": 100, "cooldown_minutes": 0, "max_age_days": 3650},
        refresh={"min_new_examples": 10, "cooldown_minutes": 0},
        promotion={"metric": "macro_f1", "min_test_examples": 30, "max_latency_ratio": 1000.0},
        must_not_break=[{"text": "the striker says goal", "label": "SPORT"}],
    )
    with World(folder, spec) as world:
        world.use_sandbox()
        world.learn(_rows("test", ("SPORT", "MARKETS"), 40, seed=1))
        world.learn(_rows("train", ("SPORT", "MARKETS"), 60, seed=2))
        world.cycle.step()
        first = world.registry.runs.list(limit=1)[0]
        world.learn(_rows("test", ("WEATHER",), 40, seed=3))
        world.learn(_rows("train", ("WEATHER",), 12, seed=4))
        world.cycle.step()
        yield Refreshed(world, first, world.registry.runs.list(limit=1)[0])


def _rows(prefix: str, labels: tuple[str, ...], per_label: int, seed: int) -> Iterator[tuple[str, str, str]]:
    for row in toy_rows(labels, per_label, seed=seed):
        yield f"{prefix}-{row.example_id}", row.text, str(row.target["label"])


def test_a_refresh_begins_at_its_own_threshold_and_is_promoted(told: Refreshed) -> None:
    assert (told.first.refresh, told.first.full, told.first.verdict) == (False, True, "promote")
    assert told.refresh.refresh
    assert (told.refresh.state, told.refresh.verdict, told.refresh.error, told.refresh.full) == (
        "decided",
        "promote",
        None,
        False,
    )
    assert told.refresh.parent == told.first.version


def test_only_the_head_is_new(told: Refreshed) -> None:
    before, after = told.folder(told.first), told.folder(told.refresh)
    changed = {
        path.relative_to(after).as_posix()
        for path in after.rglob("*")
        if path.is_file() and path.read_bytes() != (before / path.relative_to(after)).read_bytes()
    }
    assert {name for name in changed if "/" not in name} <= {"labels.json", "model.json", "manifest.json"}
    assert all(name.startswith(HEAD_FOLDER) for name in changed if "/" in name)
    assert describe(after).format == FORMAT
    assert Head.read(after).solved.refreshes == 1
    assert Head.read(after).solved.tuned_rows == Head.read(before).solved.tuned_rows == 120


def test_the_encoder_lies_on_the_disk_once_and_is_loaded_once(told: Refreshed) -> None:
    before, after = told.folder(told.first), told.folder(told.refresh)
    assert (after / WEIGHTS_FILE).samefile(before / WEIGHTS_FILE)
    opened = open_after(before, Compute(), None)
    refreshed = open_after(after, Compute(), opened)
    assert (opened.shares, refreshed.shares) == (False, True)
    texts = ["storm today", "goal in the match"]
    assert refreshed.predictor.predict(texts) == open_model(after, Compute()).predict(texts)


def test_the_sandbox_opens_the_whole_first_version_and_asks_of_a_refresh_the_head_alone(told: Refreshed) -> None:
    first, refresh = (recorded(told.world.registry.versions.get(run.version or "")) for run in (told.first, told.refresh))
    assert first is not None
    assert refresh is not None
    assert (first.outcome, first.scope, first.examples, first.differ) == ("passed", "model", 1, 0)
    assert (refresh.outcome, refresh.scope, refresh.examples, refresh.differ) == ("passed", "head", 1, 0)
    assert (first.compared, refresh.compared) == (80, 120)
    assert refresh.texts == 121
    assert (refresh.cpu_s or 0) < (first.cpu_s or 0) / 2


def test_what_was_scored_is_what_answers(told: Refreshed) -> None:
    model = open_model(told.folder(told.refresh), Compute())
    folder = told.world.run_folder(told.refresh)
    scores = pq.read_table(folder / job_spec.SCORES_FILE)
    texts = dict(
        zip(
            *(
                load_training_set(folder / job_spec.TRAINING_SET_FOLDER).rows("test")[name].to_pylist()
                for name in ("example_id", "text")
            ),
            strict=True,
        )
    )
    scored = [json.loads(answer)["label"] for answer in scores["candidate"].to_pylist()]
    answers = model.predict([texts[example_id] for example_id in scores["example_id"].to_pylist()])
    assert [answer["label"] for answer in answers] == scored
    assert len(scored) == 120


def test_its_folder_holds_each_vector_once(told: Refreshed) -> None:
    first, refresh = (told.world.run_folder(run) for run in (told.first, told.refresh))
    rows = {run: load_training_set(run / job_spec.TRAINING_SET_FOLDER).rows("train", "test") for run in (first, refresh)}
    assert rows[refresh]["embedding"].null_count == rows[refresh].num_rows
    assert rows[first]["embedding"].null_count < rows[first].num_rows
    assert len(read_features(refresh / job_spec.FEATURES_FILE)) == rows[refresh].num_rows
    assert not list(told.world.settings.runs_dir.glob(f"*/{job_spec.NEW_FEATURES_FILE}"))


def test_it_can_be_repeated_all_the_same(told: Refreshed) -> None:
    found = repeat(told.world.settings, told.refresh.run_id, lambda _progress: None)
    assert found.agrees, found.figures
    assert (found.model, found.expected) == ("identical", "equal")
    assert found.answers == found.answers_same == 120


def test_the_report_says_what_was_tried(told: Refreshed) -> None:
    assert told.refresh.version is not None
    version = told.world.registry.versions.get(told.refresh.version)
    tried = version.metrics["tried"]
    assert any(one["name"].startswith("solved: ") for one in tried)
    assert version.metrics["refreshable"]
    assert version.metrics["comparison"]["candidate_latency"] is None
    # What the parent knows is not recorded again.
    assert len(told.world.registry.versions.learnt(told.refresh.version)) == 132


def test_the_slow_clock_counts_on_its_own(told: Refreshed) -> None:
    past = told.world.registry.runs.past(NAME)
    assert past.refreshed_seq > past.max_seq
    assert evidence.gather(NAME, told.world.registry, told.world.buffer).new_examples == 12


def test_serving_takes_the_encoder_over_and_gives_the_same_answers(told: Refreshed) -> None:
    before, after = (open_after(told.folder(run), Compute(), None) for run in (told.first, told.refresh))
    shared = open_after(told.folder(told.refresh), Compute(), before)
    assert shared.shares
    assert shared.predictor.encoder is before.predictor.encoder
    texts = [text for _, text, _ in _rows("again", ("SPORT", "MARKETS", "WEATHER"), 5, seed=9)]
    assert shared.predictor.predict(texts) == after.predictor.predict(texts)
    assert not after.shares
