"""Signals, learnt by a tiny BERT: tuned, solved, refreshed without torch, opened; in Swedish too, as a cased base reads it."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import BertTokenizer

from perennial_artifact import formats
from perennial_artifact.compute import Compute
from perennial_artifact.description import describe
from perennial_artifact.predictor import Predictor
from perennial_artifact.sentence.signal_head import SignalHead
from perennial_artifact.sentence.signals import SentenceSignals
from tests.support.tiny_models import dated, make_tiny_bert, toy_plan, toy_signals, toy_signals_spec
from trainers.compare.metrics import catalog as metrics
from trainers.learners.encoders.signals import SignalsLearner
from trainers.learners.features import FeatureSet
from trainers.learners.heads.published.answering import open_from_features
from trainers.learners.protocols import Example
from trainers.learners.signals.refresh import SignalRefresh

FRESH = toy_signals(100, seed=9)


def score(model: Predictor, rows: list[Example], metric: str = "signal_score") -> float:
    gold, answers = [row.target for row in rows], model.predict([row.text for row in rows])
    return metrics.find(metric).pair(gold, answers, answers).scores()[0]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def tuned(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FeatureSet, list[Any]]:
    """A first model, the features it made, and what it tried."""
    folder, kept, tried = tmp_path_factory.mktemp("tuned"), [], []
    plan = toy_plan(
        toy_signals_spec(base), dated(toy_signals(400)), folder / "work", full=True, keep_features=kept.append,
        note_tried=tried.append,
    )  # fmt: skip
    SignalsLearner().train(plan, folder / "model")
    return folder / "model", kept[0], tried


def test_a_tuned_model_beats_keywords_means_and_the_untouched_base(base: Path, tuned: tuple[Path, FeatureSet, list[Any]]) -> None:
    spec, rows = toy_signals_spec(base), toy_signals(400)
    model = formats.open_model(tuned[0], Compute())
    others = {
        name: SignalsLearner().baseline(
            spec.model_copy(update={"promotion": spec.promotion.model_copy(update={"baseline": name})}), rows
        )
        for name in ("majority", "base")
    }
    assert spec.keywords is not None
    reached = score(model, FRESH)
    assert reached > 1.05 * score(spec.keywords, FRESH)
    assert reached > 1.15 * score(others["majority"], FRESH)
    assert reached > score(others["base"], FRESH)
    assert any(one.name.startswith("tuned for") for one in tuned[2])
    assert any(one.name.startswith("solved: scores: ") for one in tuned[2])
    assert SignalHead.read(tuned[0]).solved.tuned_rows == 400


def test_a_refresh_learns_what_rows_tell_now_and_leaves_the_encoder(
    base: Path, tuned: tuple[Path, FeatureSet, list[Any]], tmp_path: Path
) -> None:
    model, features, _tried = tuned
    # The same texts, good and bad exchanged; of the weather nobody says anything any more.
    turned = {"win": "loss", "loss": "win", "none": "none"}
    rows = [
        replace(row, target={"signals": {"sports": {"score": -said["score"], "tag": turned[said["tag"]]}}})
        for row in dated(toy_signals(400))
        for said in [row.target["signals"]["sports"]]
    ]
    plan = toy_plan(toy_signals_spec(base), rows, tmp_path / "work", warm_start=model, champion_features=features)
    SignalRefresh().train(plan, tmp_path / "model")
    texts = {row.text: row.example_id for row in rows}
    stored = open_from_features(tmp_path / "model", features, texts)
    after = formats.open_model(tmp_path / "model", Compute())
    assert score(after, rows, "tag_f1") > 0.8
    for from_store, answer in zip(stored.predict(list(texts)[:20]), after.predict(list(texts)[:20]), strict=True):
        assert from_store["signals"]["sports"]["tag"] == answer["signals"]["sports"]["tag"]
        assert from_store["signals"]["sports"]["score"] == pytest.approx(answer["signals"]["sports"]["score"], abs=1e-4)
    assert describe(tmp_path / "model").labels == ("sports",)
    assert SignalHead.read(tmp_path / "model").solved.refreshes == 1


WORDS = {"brand": ("Branden", "elden", "Räddningstjänsten"), "none": ("Mötet", "påsk", "Åkern", "öl")}
COMMON = ("Älvsjö", "i", "på", "Örebro", "dag", "igår", "är", "staden")


def swedish_base(folder: Path) -> Path:
    """Make a small stand-in for KB/bert-base-swedish-cased: BERT with a cased vocabulary that keeps å, ä and ö."""
    made = make_tiny_bert(folder, [word for words in (*WORDS.values(), COMMON) for word in words])
    BertTokenizer(vocab=str(made / "vocab.txt"), do_lower_case=False, strip_accents=False).save_pretrained(made)
    return made


def swedish(count: int, seed: int) -> list[Example]:
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        tag = "brand" if number % 2 else "none"
        words = [*chance.sample(COMMON, 4), chance.choice(WORDS[tag])]
        chance.shuffle(words)
        said = {"score": -0.8 if tag == "brand" else 0.0, "tag": tag}
        rows.append(Example(f"sv-{seed}-{number}", " ".join(words), {"signals": {"emergencies": said}}))
    return rows


def test_a_cased_swedish_base_is_learnt_from_and_read_as_it_is(tmp_path: Path) -> None:
    base = swedish_base(tmp_path / "bert")
    spec = toy_signals_spec(
        base, signals=[{"name": "emergencies", "tags": [{"name": "brand", "keywords": {"sv": ["eldsvåda"]}}]}]
    )
    SignalsLearner().train(toy_plan(spec, swedish(120, 1), tmp_path / "work", full=True), tmp_path / "model")
    model = formats.open_model(tmp_path / "model", Compute())
    assert isinstance(model, SentenceSignals)
    assert score(model, swedish(60, 2)) > 0.95
    first, second = model.encoder.features(["Älvsjö Åkern", "alvsjo akern"])[0]
    assert not (first == second).all(), "letters and capitals are not folded"
