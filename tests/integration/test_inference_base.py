"""A base model for natural language inference: what it says of labels' words starts the head; and the words as embedded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from config.errors import UserError
from perennial_artifact import formats
from perennial_artifact.compute import Compute
from perennial_artifact.description import describe
from perennial_artifact.labels import LabelSet
from perennial_artifact.sentence.head import Head
from tests.support.inference_models import ENTAILMENT, make_tiny_deberta
from tests.support.tiny_models import TOPIC_WORDS, make_tiny_bert, toy_plan, toy_rows, toy_rows_of_several, toy_spec
from trainers.learners import catalog
from trainers.learners.encoders import label_words
from trainers.learners.encoders.entailment import entailment_of, log_odds
from trainers.learners.encoders.label_words import LabelWords
from trainers.learners.features import FeatureSet
from trainers.learners.heads.label_words import starts
from trainers.learners.protocols import Example
from trainers.learners.tried import Tried

LABELS = tuple(TOPIC_WORDS)
TRAINING = {"full_epochs": 1, "full_learning_rate": 1e-3, "max_tokens": 32}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_deberta(tmp_path_factory.mktemp("base") / "deberta")


def learnt(folder: Path, base: Path, rows: Sequence[Example], **changes: Any) -> tuple[Path, list[Tried], list[FeatureSet]]:
    tried: list[Tried] = []
    kept: list[FeatureSet] = []
    spec = toy_spec(base, training=TRAINING | changes.pop("training", {}), **changes)
    plan = toy_plan(spec, rows, folder / "work", full=True, note_tried=tried.append, keep_features=kept.append)
    catalog.learner_for(spec).train(plan, folder / "model")
    return folder / "model", tried, kept


def test_which_output_means_entailment_is_told_by_its_name(base: Path, tmp_path: Path) -> None:
    assert entailment_of(str(base)) == 0
    two = make_tiny_deberta(tmp_path / "two", ("Not_Entailment", "Entailment"))
    assert entailment_of(str(two)) == 1
    assert entailment_of(str(make_tiny_deberta(tmp_path / "mood", ("positive", "negative")))) is None
    assert entailment_of("minilm") is None
    assert entailment_of(str(tmp_path / "nothing")) is None


def test_the_odds_are_those_of_the_head_whatever_the_order_of_texts(base: Path) -> None:
    texts = [row.text for row in toy_rows(LABELS, 3)]
    hypotheses = [f"This text is about {word}." for word in ("storm", "goal")]
    found = log_odds(str(base), texts, hypotheses, device="cpu")
    assert found.shape == (9, 2)
    assert np.isfinite(found).all()
    again = log_odds(str(base), texts[::-1], hypotheses, device="cpu")[::-1]
    assert found == pytest.approx(again, abs=1e-4)
    cut = log_odds(str(base), ["storm " * 5_000], hypotheses, device="cpu")
    assert np.isfinite(cut).all(), "a text longer than the model reads is cut, the hypothesis is not"


def test_a_first_run_on_such_a_base_asks_it_of_every_label(base: Path, tmp_path: Path) -> None:
    rows = toy_rows(LABELS, 12)
    folder, tried, kept = learnt(tmp_path, base, rows, label_names=[*LABELS, "A7"])
    assert any(one.name == "entailment of 3 labels asked of 36 texts" for one in tried)
    assert any("labels without words" in one.name and "A7" in one.name for one in tried)
    found = starts.read(folder)
    assert found is not None
    assert (sorted(found.rows), found.source) == (sorted(LABELS), "entailment")
    answers = formats.open_model(folder, Compute()).predict([row.text for row in rows])
    assert {answer["label"] for answer in answers} <= {*LABELS}
    assert describe(folder).labels == tuple(LABELS), "a label without words and without rows is not answered"
    # A refresh goes on from the same words.
    spec = toy_spec(base, training=TRAINING, label_names=[*LABELS, "A7"])
    plan = toy_plan(spec, rows, tmp_path / "again", warm_start=folder, champion_features=kept[0])
    catalog.refresher_for(spec).train(plan, tmp_path / "refreshed")
    again = starts.read(tmp_path / "refreshed")
    assert again is not None
    assert all((again.rows[name] == found.rows[name]).all() for name in LABELS)
    assert Head.read(tmp_path / "refreshed").solved.words == Head.read(folder).solved.words


def test_texts_of_several_labels_are_asked_likewise(base: Path, tmp_path: Path) -> None:
    rows = toy_rows_of_several(LABELS, 40)
    folder, _tried, _kept = learnt(tmp_path, base, rows, kind="multilabel")
    found = starts.read(folder)
    assert found is not None
    assert found.source == "entailment"
    assert formats.open_model(folder, Compute()).predict(["storm"])[0].keys() >= {"labels", "scores"}


def test_the_rows_of_a_head_follow_what_the_base_says() -> None:
    chance = np.random.default_rng(0)
    features, truth = chance.normal(size=(200, 8)).astype(np.float32), chance.normal(size=(2, 8))
    said = LabelWords(("A", "B"), ("a", "b"), tuple(range(200)), features @ truth.T + 3.0)
    found = said.starts(lambda _texts: features, lambda places: features[list(places)])
    for name, row in zip("AB", truth, strict=True):
        assert np.corrcoef(found.rows[name], row)[0, 1] > 0.99


def test_many_labels_are_asked_of_fewer_texts_the_rarest_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []

    def counted(_name: str, texts: Sequence[str], hypotheses: Sequence[str], *, device: str) -> np.ndarray:
        asked.append((len(texts), len(hypotheses)))
        return np.zeros((len(texts), len(hypotheses)))

    monkeypatch.setattr(label_words, "log_odds", counted)
    monkeypatch.setattr(label_words, "entailment_of", lambda _name: 0)
    names = [f"label number {at}" for at in range(300)]
    rows = toy_rows(LABELS, 400)
    spec = toy_spec("minilm", label_names=[*names, *LABELS])
    plan = toy_plan(spec, rows, tmp_path)
    found = label_words.of(plan, rows, LabelSet(spec.label_names, frozenset(LABELS)))
    assert found is not None
    assert asked == [(32, 125)]
    assert not set(LABELS) & set(found.labels)


@pytest.mark.parametrize("outputs", [("positive", "negative"), ENTAILMENT])
def test_words_are_embedded_where_the_base_is_no_such_checkpoint(tmp_path: Path, outputs: tuple[str, ...]) -> None:
    base = make_tiny_deberta(tmp_path / "base", outputs)
    words = {"SPORT": "goal match coach", "MARKETS": "shares bond", "WEATHER": "storm rain"}
    folder, _tried, _kept = learnt(tmp_path, base, toy_rows(LABELS, 12), label_words=words)
    found = starts.read(folder)
    assert found is not None
    assert found.source == ("entailment" if outputs == ENTAILMENT else "embedding")


@pytest.mark.parametrize("given", ["auto", "none"])
def test_without_words_nothing_of_them_is_published(tmp_path: Path, given: str) -> None:
    folder, _tried, _kept = learnt(tmp_path, make_tiny_bert(tmp_path / "base"), toy_rows(LABELS, 12), label_words=given)
    assert starts.read(folder) is None
    assert Head.read(folder).solved.words == 0.0


def test_a_declared_label_is_answered_before_its_first_row(tmp_path: Path) -> None:
    base = make_tiny_bert(tmp_path / "base")
    words = {"WEATHER": "storm rain wind snow flood", "SPORT": "goal match coach", "MARKETS": "shares bond profit"}
    folder, _tried, _kept = learnt(
        tmp_path, base, toy_rows(LABELS[:2], 30), label_words=words, label_names=list(LABELS), training={"tuning": "never"}
    )
    assert "WEATHER" in describe(folder).labels
    model = formats.open_model(folder, Compute())
    about, other = model.predict(["storm rain wind flood", "goal match coach striker"])
    assert about["scores"]["WEATHER"] > other["scores"]["WEATHER"]


def test_a_base_that_lacks_a_layer_is_refused_by_name(tmp_path: Path) -> None:
    torn = make_tiny_deberta(tmp_path / "torn")
    weights = {name: tensor for name, tensor in load_file(torn / "model.safetensors").items() if "layer.1." not in name}
    save_file(weights, torn / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks weights: encoder\.layer\.1"):
        learnt(tmp_path / "one", torn, toy_rows(LABELS, 5), label_words="none")


def test_a_checkpoint_that_lacks_its_head_or_cannot_be_had_is_refused(base: Path, tmp_path: Path) -> None:
    torn = make_tiny_deberta(tmp_path / "torn")
    weights = {name: tensor for name, tensor in load_file(torn / "model.safetensors").items() if "classifier" not in name}
    save_file(weights, torn / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="lacks classifier"):
        learnt(tmp_path / "one", torn, toy_rows(LABELS, 5))
    for given in ("auto", "names"):
        with pytest.raises(UserError, match="cannot be loaded"):
            learnt(tmp_path / given, tmp_path / "nothing", toy_rows(LABELS, 5), label_words=given)
