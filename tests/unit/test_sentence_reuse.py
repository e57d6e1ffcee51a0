"""A sentence classifier with a new head goes on with the encoder that is loaded."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from perennial_artifact import formats
from perennial_artifact.compute import Compute
from perennial_artifact.description import Description, Input
from perennial_artifact.formats import Opened
from perennial_artifact.labels import LabelSet
from perennial_artifact.sentence.classifier import SentenceClassifier
from perennial_artifact.sentence.encoder import Pooled, SentenceEncoder, save_encoder
from perennial_artifact.sentence.head import Head
from perennial_artifact.sentence.layout import FORMAT, sentence_modules
from registry.artifacts.local import LocalArtifacts
from tests.support.tiny_models import make_tiny_bert

WIDTH = 32
TEXTS = ["goal in the match", "shares and bond", "storm today"] * 4


class Versions:
    """Publishes sentence classifiers on a tiny encoder."""

    def __init__(self, folder: Path) -> None:
        base = make_tiny_bert(folder / "base")
        self._transformer = AutoModel.from_pretrained(base)
        self._tokenizer = AutoTokenizer.from_pretrained(base)
        self._folder = folder
        self._artifacts = LocalArtifacts(folder / "artifacts")
        self._number = 0

    def publish(self, *, seed: int, max_tokens: int = 16, tuned: bool = False, names: tuple[str, ...] = ("A", "B")) -> Path:
        self._number += 1
        source = self._folder / f"model-{self._number}"
        source.mkdir()
        if tuned:
            with torch.no_grad():
                next(self._transformer.parameters()).add_(0.5)
        save_encoder(
            Pooled(self._transformer, sentence_modules(dimensions=WIDTH)), self._tokenizer, source, max_tokens=max_tokens
        )
        random = np.random.default_rng(seed)
        weight, bias = random.normal(size=(len(names), WIDTH)), random.normal(size=len(names))
        Head(weight.astype(np.float32), bias.astype(np.float32), LabelSet(names, frozenset(names))).write(source)
        Description(
            kind="classification", backend="transformer", format=FORMAT, base="", labels=names, input=Input(max_tokens=max_tokens)
        ).write(source)
        published = self._artifacts.publish("t", self._number, source)
        return self._artifacts.fetch(published.artifact_id, published.manifest_sha256)


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    return Versions(tmp_path_factory.mktemp("sentence"))


def opened(folder: Path, before: Opened | None = None) -> tuple[Opened, SentenceClassifier]:
    found = formats.open_after(folder, Compute(), before)
    assert isinstance(found.predictor, SentenceClassifier)
    return found, found.predictor


def test_a_new_head_goes_on_with_the_encoder_and_answers_as_if_opened_alone(
    versions: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, before = opened(versions.publish(seed=1))
    folder = versions.publish(seed=2, names=("A", "B", "C"))
    monkeypatch.setattr(SentenceEncoder, "open", lambda *_arguments, **_options: pytest.fail("an encoder was loaded"))
    _second, after = opened(folder, first)
    monkeypatch.undo()
    assert after.encoder is before.encoder
    _alone, alone = opened(folder)
    assert after.predict(TEXTS) == alone.predict(TEXTS)
    assert before.predict(TEXTS) != after.predict(TEXTS), "the head is the new one"


@pytest.mark.parametrize("change", [{"tuned": True}, {"max_tokens": 8}])
def test_another_encoder_or_another_length_is_opened_anew(versions: Versions, change: dict[str, int]) -> None:
    first, before = opened(versions.publish(seed=1))
    folder = versions.publish(seed=1, **change)  # type: ignore[arg-type]  # one of the two
    _second, after = opened(folder, first)
    assert after.encoder is not before.encoder
    assert after.predict(TEXTS) == opened(folder)[1].predict(TEXTS)


def test_both_answer_at_once_while_one_takes_the_others_place(versions: Versions) -> None:
    first, before = opened(versions.publish(seed=3))
    _second, after = opened(versions.publish(seed=4), first)
    wanted = {id(model): model.predict(TEXTS) for model in (before, after)}
    wrong: list[object] = []

    def ask(model: SentenceClassifier) -> None:
        wrong.extend(model for _ in range(20) if model.predict(TEXTS) != wanted[id(model)])

    threads = [threading.Thread(target=ask, args=(model,)) for model in (before, after) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
