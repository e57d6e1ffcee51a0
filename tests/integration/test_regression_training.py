"""Regression, learnt by a tiny BERT: tuned, solved, refreshed without torch, with further blocks of features too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perennial_artifact import formats
from perennial_artifact.blocks.regressor import BlocksRegressor
from perennial_artifact.compute import Compute
from perennial_artifact.description import describe
from perennial_artifact.sentence.numbers import NumberHead
from tests.support.tiny_models import dated, make_tiny_bert, toy_numbers, toy_numbers_spec, toy_plan
from trainers.learners.encoders import encoder as encoders
from trainers.learners.encoders.regression import RegressionLearner
from trainers.learners.features import FeatureSet
from trainers.learners.heads.published.answering import open_from_features
from trainers.learners.protocols import Example
from trainers.learners.ridge.refresh import RidgeRefresh


def error_of(answers: Any, rows: list[Example]) -> float:
    return float(
        np.mean([abs(answer["values"]["heat"] - row.target["values"]["heat"]) for answer, row in zip(answers, rows, strict=True)])
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def tuned(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FeatureSet, list[Any]]:
    """A first model, the features it made, and what it tried."""
    folder, kept, tried = tmp_path_factory.mktemp("tuned"), [], []
    plan = toy_plan(
        toy_numbers_spec(base),
        dated(toy_numbers(300)),
        folder / "work",
        full=True,
        keep_features=kept.append,
        note_tried=tried.append,
    )
    RegressionLearner().train(plan, folder / "model")
    return folder / "model", kept[0], tried


def test_a_tuned_model_comes_nearer_than_the_mean(base: Path, tuned: tuple[Path, FeatureSet, list[Any]]) -> None:
    fresh, spec = toy_numbers(100, seed=9), toy_numbers_spec(base)
    answers = formats.open_model(tuned[0], Compute()).predict([row.text for row in fresh])
    means = RegressionLearner().baseline(spec, toy_numbers(300)).predict([row.text for row in fresh])
    untouched = RegressionLearner().baseline(
        spec.model_copy(update={"promotion": spec.promotion.model_copy(update={"baseline": "base"})}), toy_numbers(300)
    )
    assert error_of(answers, fresh) < 0.5 * error_of(means, fresh)
    assert error_of(answers, fresh) < error_of(untouched.predict([row.text for row in fresh]), fresh)
    assert all(1.0 <= answer["values"]["heat"] <= 5.0 and -1.0 <= answer["values"]["mood"] <= 1.0 for answer in answers)
    assert any(one.name.startswith("tuned for") for one in tuned[2])
    assert NumberHead.read(tuned[0]).solved.tuned_rows == 300


def test_a_refresh_learns_new_rows_and_leaves_the_encoder(
    base: Path, tuned: tuple[Path, FeatureSet, list[Any]], tmp_path: Path
) -> None:
    model, features, _tried = tuned
    # The same texts, every number one higher.
    rows = [replace(row, target={"values": {"heat": row.target["values"]["heat"] + 1}}) for row in dated(toy_numbers(300))]
    plan = toy_plan(toy_numbers_spec(base), rows, tmp_path / "work", warm_start=model, champion_features=features)
    RidgeRefresh().train(plan, tmp_path / "model")
    texts = {row.text: row.example_id for row in rows}
    stored = open_from_features(tmp_path / "model", features, texts)
    before, after = (formats.open_model(folder, Compute()).predict(list(texts)[:20]) for folder in (model, tmp_path / "model"))
    moved = np.array([new["values"]["heat"] - old["values"]["heat"] for new, old in zip(after, before, strict=True)])
    assert 0.7 < moved.mean() < 1.1
    for from_store, answer in zip(stored.predict(list(texts)[:20]), after, strict=True):
        assert from_store["values"] == pytest.approx(answer["values"], abs=1e-4)
    assert describe(tmp_path / "model").labels == ("heat",), "of the other dimension no row says anything any more"
    assert NumberHead.read(tmp_path / "model").solved.refreshes == 1


@pytest.mark.parametrize("blocks", [("ngrams",), ("base", "ngrams")], ids="+".join)
def test_further_blocks_are_read_by_a_first_head_and_by_its_refresh(base: Path, tmp_path: Path, blocks: tuple[str, ...]) -> None:
    rows = dated(toy_numbers(400))
    spec = toy_numbers_spec(base, training={"full_epochs": 1, "max_tokens": 32, "feature_blocks": blocks})
    texts = {row.text: row.example_id for row in rows}
    kept: list[FeatureSet] = []
    tried: list[Any] = []
    untouched = encoders.open_base(str(base), max_tokens=32).as_served(Compute()).features(list(texts))[0]
    seen = FeatureSet.of(list(texts.values()), untouched)
    plan = toy_plan(
        spec, rows, tmp_path / "work", full=True, keep_features=kept.append, note_tried=tried.append, base_features=seen
    )
    RegressionLearner().train(plan, tmp_path / "model")
    assert describe(tmp_path / "model").format == "blocks-regression"
    model = formats.open_model(tmp_path / "model", Compute())
    assert isinstance(model, BlocksRegressor)
    assert model.blocks.names == blocks
    answers = model.predict(list(texts))
    assert error_of(answers, rows) < 0.4, "words alone tell the numbers"
    scores = {one.name: one.scores["scaled_error"] for one in tried if "blocks" in one.name or "with ngrams" in one.name}
    assert scores["the same with ngrams"] < scores["the base model's features without feature blocks"]
    # As the daemon stores them: the encoder's, and behind them the base model's where the head reads it.
    wide = FeatureSet.of(list(texts.values()), model.encoder.features(list(texts))[0])
    again = toy_plan(spec, rows, tmp_path / "work", warm_start=tmp_path / "model", champion_features=wide)
    RidgeRefresh().train(again, tmp_path / "again")
    before = formats.open_model(tmp_path / "again", Compute()).predict(list(texts)[:20])
    stored = open_from_features(tmp_path / "again", wide, texts).predict(list(texts)[:20])
    for answer, from_store in zip(before, stored, strict=True):
        assert from_store["values"] == pytest.approx(answer["values"], abs=1e-3)
    # A slow run goes on from it, and a task that asks for no blocks any more has a head without.
    plain = toy_numbers_spec(base, training={"epochs": 1, "max_tokens": 32})
    onwards = toy_plan(plain, rows, tmp_path / "onwards", warm_start=tmp_path / "again", champion_features=wide)
    RegressionLearner().train(onwards, tmp_path / "plain")
    assert describe(tmp_path / "plain").format == "sentence-regression"
