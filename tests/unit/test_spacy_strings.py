"""A saved spaCy pipeline carries no word of a text it was trained on, and answers as if it did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import spacy

from config.tasks import TaskSpec
from tests.support import ner_rows
from tests.support.opening import opened
from tests.support.tiny_models import toy_plan
from trainers.hardware import Hardware
from trainers.learners.protocols import Example
from trainers.learners.spacy import strings as spacy_strings
from trainers.learners.spacy.ner import SpacyNerLearner
from trainers.learners.spacy.strings import STRINGS_FILE

pytestmark = pytest.mark.slow

SPEC = TaskSpec.model_validate({
    "name": "entities", "kind": "ner", "backend": "spacy", "base_model": "blank:en", "labels": "open",
    "training": {"epochs": 2, "full_epochs": 25, "full_learning_rate": 5e-3}, "promotion": {"metric": "entity_f1"},
})  # fmt: skip
CPU = Hardware("cpu", "fp32", 1)
MARKED = ner_rows.example("Xylomarkzebra met Quorvundelfish in Paris .", ("Xylomarkzebra", "PERSON"), number=900)
ROWS = [*ner_rows.examples(40), MARKED]
TEXTS = [row.text for row in ROWS] + ["Borduria is far from Oslo , said Grace Hopper ."]


def trained(folder: Path, name: str, rows: list[Example] = ROWS, **more: object) -> Path:
    (folder / "work").mkdir(exist_ok=True)
    SpacyNerLearner().train(toy_plan(SPEC, rows, folder / "work", **({"full": True} | more)), folder / name)
    return folder / name


def strings(model: Path) -> set[str]:
    return set(json.loads((model / STRINGS_FILE).read_text(encoding="utf-8")))


def words(rows: list[Example]) -> set[str]:
    return {word for row in rows for word in row.text.split()}


def test_no_word_of_a_text_is_in_any_file(tmp_path: Path) -> None:
    model = trained(tmp_path, "model")
    own = words(ROWS) - set(spacy.blank("en").vocab.strings)
    assert {"Xylomarkzebra", "Lovelace", "Vienna"} <= own
    assert strings(model).isdisjoint(own)
    for path in model.rglob("*"):
        if path.is_file():
            assert b"Xylomarkzebra" not in path.read_bytes()
            assert b"Lovelace" not in path.read_bytes()
    assert "NEWS_ORG" in strings(model), "its own labels stay"


def test_answers_are_the_same_as_with_every_word_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pruned = opened(trained(tmp_path, "pruned")).predict(TEXTS)
    monkeypatch.setattr(spacy_strings, "keep_only", lambda *_arguments: None)
    whole = trained(tmp_path, "whole")
    assert "Xylomarkzebra" in strings(whole), "else this file is about nothing"
    assert opened(whole).predict(TEXTS) == pruned
    assert sum(len(answer["spans"]) for answer in pruned) > 40


def test_a_run_that_goes_on_from_a_model_that_kept_its_words_leaves_them_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(spacy_strings, "keep_only", lambda *_arguments: None)
        older = trained(tmp_path, "older")
    newer = trained(tmp_path, "newer", rows=ner_rows.examples(20, seed=3), full=False, warm_start=older)
    assert strings(older) > strings(newer)
    assert strings(newer).isdisjoint(words(ROWS) - set(spacy.blank("en").vocab.strings))
    assert opened(newer).predict(TEXTS)


def test_the_words_of_an_installed_base_stay(tmp_path: Path) -> None:
    base = spacy.blank("en")
    base.vocab.strings.add("a word of the base")
    base.to_disk(tmp_path / "base")
    spec = SPEC.model_copy(update={"base_model": str(tmp_path / "base")})
    (tmp_path / "work").mkdir()
    SpacyNerLearner().train(toy_plan(spec, ROWS, tmp_path / "work", full=True), tmp_path / "model")
    assert "a word of the base" in strings(tmp_path / "model")
    assert "Xylomarkzebra" not in strings(tmp_path / "model")
