"""The base model's features beside the tuned encoder's: a second encoder in the folder, from the buffer where it holds them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoModel, AutoTokenizer

from consumers.enrichment.feature_store import FeatureStore
from consumers.events.schemas import content_sha256
from daemon.training.preparing.features import encoder_key
from perennial_artifact.blocks.classifier import BlocksClassifier
from perennial_artifact.blocks.encoders import SideBySide
from perennial_artifact.blocks.features import Blocks
from perennial_artifact.compute import Compute
from perennial_artifact.description import describe
from perennial_artifact.errors import UnusableError
from perennial_artifact.formats import open_after, open_model
from perennial_artifact.sentence.encoder import SentenceEncoder
from perennial_artifact.sentence.head import Head
from perennial_artifact.sentence.layout import BASE_FOLDER, BLOCKS_FORMAT, BLOCKS_MULTILABEL_FORMAT, FORMAT, WEIGHTS_FILE
from registry.artifacts.local import LocalArtifacts
from registry.judging.gate import decide
from registry.runs import Run
from tests.integration.test_features_for_runs import ROWS as FROZEN
from tests.integration.test_features_for_runs import frozen, prepared
from tests.support.cycles import NAME, World, task
from tests.support.runners import HereRunner
from tests.support.scored import compared, labelled, topics
from tests.support.tiny_models import make_tiny_bert, toy_plan, toy_rows, toy_rows_of_several, toy_spec
from trainers.compare.scoring import time_answers
from trainers.learners.encoders.classification import ClassificationLearner
from trainers.learners.features import FeatureSet
from trainers.learners.tried import Tried

WIDTH = 32
TRAINING = {"max_tokens": 32, "full_epochs": 3, "full_learning_rate": 5e-3, "learning_rate": 5e-3}
_NEWEST = datetime(2026, 6, 1, tzinfo=UTC)
ROWS = [
    replace(row, event_time=_NEWEST - timedelta(days=400 - number))
    for number, row in enumerate(toy_rows(("SPORT", "MARKETS"), 200))
]
OLDER, TEXTS, IDS = ROWS[:240], [row.text for row in ROWS], [row.example_id for row in ROWS]


@dataclass
class Made:
    """What a base model became, tuned on the older rows: with its own features beside, and without."""

    bert: Path
    beside: Path
    plain: Path


def learn(
    folder: Path, bert: Path, output: str, *, blocks: Sequence[str] = ("base",), **changes: Any
) -> tuple[Path, list[Tried]]:
    """Return a model of the older rows, or of those in `changes`, and what the run has tried; `tuning` is the task's."""
    tried: list[Tried] = []
    training = TRAINING | {"feature_blocks": blocks, "tuning": changes.pop("tuning", "always")}
    spec, rows = toy_spec(bert, training=training), changes.pop("rows", OLDER)
    plan = toy_plan(spec, rows, folder / "work", note_tried=tried.append, **changes)
    ClassificationLearner().train(plan, folder / output)
    return folder / output, tried


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("base-block")
    bert = make_tiny_bert(folder / "bert")
    return Made(bert, learn(folder, bert, "beside")[0], learn(folder, bert, "plain", blocks=())[0])


def encoders(folder: Path) -> SideBySide:
    model = open_model(folder, Compute())
    assert isinstance(model, BlocksClassifier)
    assert isinstance(model.encoder, SideBySide)
    return model.encoder


def of_base(made: Made) -> FeatureSet:
    return FeatureSet.of(IDS, encoders(made.beside).base.features(TEXTS)[0])


def of_tuned(folder: Path) -> FeatureSet:
    return FeatureSet.of(IDS, SentenceEncoder.open(folder, Compute(), max_tokens=32).features(TEXTS)[0])


def test_the_second_encoder_is_the_base_as_it_came_and_the_first_is_tuned(made: Made, tmp_path: Path) -> None:
    untuned, _tried = learn(tmp_path, made.bert, "untuned", blocks=(), tuning="never")
    both = encoders(made.beside)
    assert both.base.features(TEXTS)[0] == pytest.approx(of_tuned(untuned).matrix, abs=1e-6)
    assert both.tuned.features(TEXTS)[0] == pytest.approx(of_tuned(made.plain).matrix, abs=1e-6)
    assert both.features(TEXTS)[0].shape == (len(TEXTS), 2 * WIDTH)
    assert Head.read(made.beside).weight.shape == (2, 2 * WIDTH)
    # Stored features serve every model with the same encoder, whether it stands alone, first or second.
    of_the_base = encoder_key(made.beside, describe(made.beside), "fp32", part=BASE_FOLDER)
    assert of_the_base == encoder_key(untuned, describe(untuned), "fp32")
    assert encoder_key(made.beside, describe(made.beside), "fp32") == encoder_key(made.plain, describe(made.plain), "fp32")


def test_its_files_are_the_same_in_every_version_also_where_the_base_lacks_weights(tmp_path: Path) -> None:
    whole = make_tiny_bert(tmp_path / "whole")
    AutoModel.from_pretrained(whole, add_pooling_layer=False).save_pretrained(tmp_path / "bert")
    AutoTokenizer.from_pretrained(whole).save_pretrained(tmp_path / "bert")
    first, _tried = learn(tmp_path, tmp_path / "bert", "first")
    second, _tried = learn(tmp_path, tmp_path / "bert", "second", warm_start=first, seed=77)
    names = {path.relative_to(first).as_posix() for path in (first / BASE_FOLDER).rglob("*") if path.is_file()}
    assert f"{BASE_FOLDER}/{WEIGHTS_FILE}" in names
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)
    artifacts = LocalArtifacts(tmp_path / "artifacts")
    one, other = (artifacts.publish("t", number, folder).folder for number, folder in ((1, first), (2, second)))
    assert (one / BASE_FOLDER / WEIGHTS_FILE).samefile(other / BASE_FOLDER / WEIGHTS_FILE)
    assert not (one / WEIGHTS_FILE).samefile(other / WEIGHTS_FILE)


@pytest.mark.parametrize("blocks", [("base",), ("base", "ngrams")])
def test_beside_an_encoder_that_is_the_base_it_is_left_out_and_the_run_says_so(
    made: Made, tmp_path: Path, blocks: tuple[str, ...]
) -> None:
    first, tried = learn(tmp_path, made.bert, "first", blocks=blocks, tuning="never")
    second, again = learn(tmp_path, made.bert, "second", blocks=blocks, tuning="never", warm_start=first)
    for folder, notes in ((first, tried), (second, again)):
        assert any(one.name.startswith("feature block base left out") for one in notes)
        assert not (folder / BASE_FOLDER).exists()
        assert describe(folder).format == (BLOCKS_FORMAT if "ngrams" in blocks else FORMAT)
    if "ngrams" in blocks:
        assert Blocks.read(first).names == ("ngrams",)


def test_a_tuned_encoder_that_is_not_tuned_again_keeps_it_and_reads_no_row_twice(made: Made, tmp_path: Path) -> None:
    wide = FeatureSet.of(IDS, encoders(made.beside).features(TEXTS)[0])
    kept: list[FeatureSet] = []
    again, tried = learn(
        tmp_path, made.bert, "again", tuning="never", warm_start=made.beside, rows=ROWS, champion_features=wide,
        keep_features=kept.append,
    )  # fmt: skip
    names = [one.name for one in tried]
    assert "features of 0 of 400 rows computed" in names
    assert "features of 0 of 400 rows computed by the base model" in names
    assert kept[0].rows(IDS) == pytest.approx(wide.matrix[:, :WIDTH]), "the tuned encoder's own"
    assert encoders(again).features(TEXTS)[0] == pytest.approx(wide.matrix, abs=1e-6)


def test_the_buffers_vectors_are_taken_only_where_they_are_the_same(made: Made, tmp_path: Path) -> None:
    same = of_base(made)
    _model, tried = learn(tmp_path, made.bert, "same", base_features=same)
    assert "features of 0 of 240 rows computed by the base model" in [one.name for one in tried]
    other = FeatureSet.of(IDS, np.random.default_rng(0).normal(size=(len(IDS), WIDTH)).astype(np.float32))
    model, tried = learn(tmp_path, made.bert, "other", base_features=other)
    assert "features of all rows computed by the base model" in [one.name for one in tried]
    assert Head.read(model).weight.shape == (2, 2 * WIDTH)


def test_a_run_notes_what_blocks_bring_on_rows_newer_than_the_tuning(made: Made, tmp_path: Path) -> None:
    wide = FeatureSet.of(IDS, encoders(made.beside).features(TEXTS)[0])
    _model, tried = learn(
        tmp_path, made.bert, "next", blocks=("base", "ngrams"), warm_start=made.beside, rows=ROWS, champion_features=wide,
        base_features=of_base(made),
    )  # fmt: skip
    notes = {one.name: one for one in tried}
    without = notes["tuned features on rows newer than the tuning without feature blocks"]
    beside = notes["the same with base and ngrams"]
    assert (without.chosen, beside.chosen) == (False, True)
    assert without.scores.keys() == beside.scores.keys() == {"log_probability", "accuracy", "macro_f1"}
    assert without.scores != beside.scores


def test_a_first_run_notes_what_words_bring_beside_the_base(made: Made, tmp_path: Path) -> None:
    _model, tried = learn(tmp_path, made.bert, "first", blocks=("ngrams", "base"), base_features=of_base(made), rows=ROWS)
    notes = {one.name: one for one in tried}
    assert not notes["the base model's features without feature blocks"].chosen
    assert notes["the same with ngrams"].scores["log_probability"] > -0.7, "better than a guess between two labels"
    _model, tried = learn(tmp_path, made.bert, "alone", blocks=("base",), base_features=of_base(made), rows=ROWS)
    assert not any("without feature blocks" in one.name for one in tried), "nothing has seen none of the rows"


def test_texts_of_several_labels_have_blocks_too(made: Made, tmp_path: Path) -> None:
    rows = [
        replace(row, event_time=_NEWEST - timedelta(days=300 - number))
        for number, row in enumerate(toy_rows_of_several(("SPORT", "MARKETS"), 300))
    ]
    tried: list[Tried] = []
    spec = toy_spec(made.bert, kind="multilabel", training=TRAINING | {"feature_blocks": ["base", "ngrams"]})
    features = FeatureSet.of([row.example_id for row in rows], encoders(made.beside).base.features([row.text for row in rows])[0])
    plan = toy_plan(spec, rows, tmp_path / "work", note_tried=tried.append, base_features=features)
    ClassificationLearner().train(plan, tmp_path / "model")
    assert describe(tmp_path / "model").format == BLOCKS_MULTILABEL_FORMAT
    assert encoders(tmp_path / "model").features(["goal"])[0].shape == (1, 2 * WIDTH)
    notes = {one.name: one for one in tried}
    assert "accuracy" not in notes["the same with ngrams"].scores
    answers = open_model(tmp_path / "model", Compute()).predict([row.text for row in rows])
    right = [answer["labels"] == sorted(row.target["labels"]) for answer, row in zip(answers, rows, strict=True)]
    assert np.mean(right) > 0.9


def test_features_for_a_run_hold_both_and_the_buffer_serves_for_the_base(made: Made, tmp_path: Path) -> None:
    texts = [row.text for row in FROZEN]
    run_dir = frozen(tmp_path / "run", encoders(made.beside).base.features(texts)[0], ["tiny@1"] * len(FROZEN))
    store = FeatureStore(tmp_path / "data")
    found, logs = prepared(run_dir, made.beside, store)
    assert logs["features.prepared"]["computed"] == len(FROZEN)
    assert found == pytest.approx(encoders(made.beside).features(texts)[0], abs=1e-5)
    tuned, base = (encoder_key(made.beside, describe(made.beside), "fp32", part=part) for part in ("", BASE_FOLDER))
    hashes = {content_sha256(text) for text in texts}
    assert store.get(tuned, hashes).keys() == hashes
    assert store.get(base, hashes) == {}, "the buffer holds them"
    store.close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: shutil.rmtree(folder / BASE_FOLDER),
        lambda folder: (folder / BASE_FOLDER / WEIGHTS_FILE).write_bytes(b"torn"),
        lambda folder: (folder / BASE_FOLDER / "config.json").unlink(),
        lambda folder: Blocks.write(replace(Blocks.read(folder), base=replace(Blocks.read(folder).base, columns=7)), folder),
    ],
)
def test_a_damaged_second_encoder_is_refused(made: Made, tmp_path: Path, damage: Any) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(made.beside, folder)
    damage(folder)
    with pytest.raises(UnusableError):
        open_model(folder, Compute())


def test_a_candidate_that_two_encoders_make_too_slow_is_refused(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count(1)
    passes = [0]
    genuine = SentenceEncoder.features

    def counted(encoder: SentenceEncoder, texts: Sequence[str]) -> Any:
        passes[0] = next(calls)
        return genuine(encoder, texts)

    monkeypatch.setattr(SentenceEncoder, "features", counted)
    candidate, champion = open_model(made.beside, Compute()), open_model(made.plain, Compute())
    # Time is what encoders take: a second for each text that one reads.
    ours, theirs = time_answers(candidate, champion, TEXTS[:40], clock=lambda: float(passes[0]))
    assert ours is not None
    assert theirs is not None
    assert ours.p99_ms == pytest.approx(2 * theirs.p99_ms)
    gold = ["SPORT", "MARKETS"] * 300
    better = labelled(gold, gold, ["SPORT"] * 600)
    for ratio, verdict in ((1.5, "keep"), (3.0, "promote")):
        policy = topics(max_latency_ratio=ratio)
        seen = compared(policy, better).model_copy(update={"candidate_latency": ours, "champion_latency": theirs})
        decision = decide(seen, policy.promotion)
        assert decision.verdict == verdict
        assert any("max_latency_ratio" in reason for reason in decision.reasons) == (verdict == "keep")


def _texts(prefix: str, labels: tuple[str, ...], per_label: int, seed: int) -> list[tuple[str, str, str]]:
    return [(f"{prefix}-{row.example_id}", row.text, row.target["label"]) for row in toy_rows(labels, per_label, seed=seed)]


def _folder(world: World, run: Run) -> Path:
    assert run.version is not None
    return world.artifacts.folder(world.registry.versions.get(run.version).artifact_id)


@pytest.mark.slow
def test_a_champion_with_both_blocks_is_refreshed_and_shares_its_encoders(tmp_path: Path) -> None:
    training = {
        "full_epochs": 6, "full_learning_rate": 5e-3, "batch_size": 16, "max_tokens": 32, "feature_blocks": ["base", "ngrams"],
    }  # fmt: skip
    spec = task(
        base_model=str(make_tiny_bert(tmp_path / "bert")), training=training,
        trigger={"min_new_examples": 100, "cooldown_minutes": 0, "max_age_days": 3650},
        refresh={"min_new_examples": 10, "cooldown_minutes": 0},
        promotion={"metric": "macro_f1", "min_test_examples": 30, "max_latency_ratio": 1000.0},
    )  # fmt: skip
    with World(tmp_path, spec, runner=HereRunner()) as world:
        world.learn(_texts("test", ("SPORT", "MARKETS"), 40, seed=1))
        world.learn(_texts("train", ("SPORT", "MARKETS"), 60, seed=2))
        world.cycle.step()
        first = world.registry.runs.list(NAME, limit=1)[0]
        world.learn(_texts("test", ("WEATHER",), 40, seed=3))
        world.learn(_texts("train", ("WEATHER",), 12, seed=4))
        world.cycle.step()
        refresh = world.registry.runs.list(NAME, limit=1)[0]
        assert (first.verdict, first.refresh) == ("promote", False)
        assert (refresh.verdict, refresh.refresh, refresh.error) == ("promote", True, None)
        before, after = _folder(world, first), _folder(world, refresh)
        assert Blocks.read(after).names == ("base", "ngrams")
        for name in (WEIGHTS_FILE, f"{BASE_FOLDER}/{WEIGHTS_FILE}"):
            assert (after / name).samefile(before / name)
        opened = open_after(before, Compute(), None)
        shared = open_after(after, Compute(), opened)
        assert (shared.shares, shared.predictor.encoder is opened.predictor.encoder) == (True, True)
        texts = [text for _key, text, _label in _texts("again", ("SPORT", "MARKETS", "WEATHER"), 5, seed=9)]
        assert shared.predictor.predict(texts) == open_model(after, Compute()).predict(texts)
        assert {answer["label"] for answer in shared.predictor.predict(texts)} >= {"WEATHER"}
        # Features of both encoders are kept for the next refresh, and of none that no champion has.
        hashes = {content_sha256(text) for _key, text, _label in _texts("train", ("SPORT", "MARKETS"), 60, seed=2)}
        for part in ("", BASE_FOLDER):
            assert world.features.get(encoder_key(after, describe(after), "fp32", part=part), hashes).keys() == hashes
