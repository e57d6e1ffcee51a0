"""A pipeline from an artifact is built of known parts only, on the server and in an app's process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language

from config.errors import RunFailedError
from perennial_artifact.spacy.layers import unknown_part
from perennial_client import Champion, ModelError, loading
from tests.support.opening import opened

CHAMPION = Champion("t", "t/v1", 1, datetime.now(UTC), "ner", "spacy", "fp32", "0" * 64, 1)
OPEN: list[tuple[Callable[[Path], Any], type[Exception]]] = [
    (opened, RunFailedError),
    (lambda folder: loading.load(CHAMPION, folder, "fp32", None), ModelError),
]
TOK2VEC = """[components.ner.model.tok2vec]
@architectures = "spacy.HashEmbedCNN.v2\""""
CHANGED = {
    "a layer of another framework": (TOK2VEC, TOK2VEC.replace("spacy.HashEmbedCNN.v2", "spacy.TorchBiLSTMEncoder.v1")),
    "a wrapper": (TOK2VEC, TOK2VEC.replace("architectures", "layers").replace("spacy.HashEmbedCNN.v2", "PyTorchWrapper.v3")),
    "an architecture of another package": (TOK2VEC, TOK2VEC.replace("spacy.HashEmbedCNN.v2", "spacy-curated.Model.v1")),
    "no name": (TOK2VEC, TOK2VEC.replace('"spacy.HashEmbedCNN.v2"', "[1]")),
    "a component of another package": ('factory = "ner"', 'factory = "llm"'),
    "a component from elsewhere": ('factory = "ner"', 'source = "/etc"'),
    "a callback": ("before_creation = null", 'before_creation = {"@callbacks": "anything.v1"}'),
    "a tokenizer": ('@tokenizers = "spacy.Tokenizer.v1"', '@tokenizers = "other.Tokenizer.v1"'),
}  # fmt: skip


@pytest.fixture(scope="module")
def pipeline() -> Language:
    nlp = spacy.blank("en")
    recogniser: Any = nlp.add_pipe("ner")
    recogniser.add_label("ORG")
    nlp.initialize()
    return nlp


def test_every_component_of_spacy_itself_is_known() -> None:
    nlp = spacy.blank("en")
    for name in (
        "tok2vec", "tagger", "morphologizer", "parser", "senter", "sentencizer", "attribute_ruler", "lemmatizer", "ner",
        "entity_ruler", "span_ruler", "textcat", "textcat_multilabel", "spancat", "span_finder", "trainable_lemmatizer",
    ):  # fmt: skip
        nlp.add_pipe(name)
    assert unknown_part(nlp.config) is None


@pytest.mark.parametrize("change", CHANGED)
@pytest.mark.parametrize("side", range(len(OPEN)), ids=["server", "client"])
def test_an_unknown_part_is_refused_before_it_is_built(side: int, change: str, pipeline: Language, tmp_path: Path) -> None:
    opener, refusal = OPEN[side]
    pipeline.to_disk(tmp_path)
    opener(tmp_path)
    config = tmp_path / "config.cfg"
    before, after = CHANGED[change]
    text = config.read_text(encoding="utf-8")
    assert before in text
    config.write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(refusal, match="is not one of spaCy's own"):
        opener(tmp_path)
