"""A recogniser above token vectors that stay: what learns, what is computed once, and what is there again afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy

from config.errors import RunFailedError
from tests.support.curated_pipeline import make_curated_pipeline
from tests.support.ner_rows import examples
from tests.unit.test_spacy_ner import f1, learn, spec_with
from trainers.learners import catalog
from trainers.learners.spacy.freezing import frozen_below
from trainers.learners.spacy.refresh import RecogniserRefresh
from trainers.learners.spacy.weights import weights_of

pytestmark = pytest.mark.slow

SPEC = spec_with(full_epochs=10, epochs=8, full_learning_rate=4e-3, learning_rate=2e-3)


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return learn(tmp_path_factory.mktemp("champion") / "model", examples(60, types=("PERSON", "GPE")), spec=SPEC)


def refresh(champion: Path, output: Path, spec: Any = SPEC) -> Path:
    return learn(output, examples(40, seed=2), spec=spec, warm_start=champion, learner=RecogniserRefresh())


def below(folder: Path) -> dict[Any, Any]:
    return dict(weights_of(_nlp(folder).get_pipe("ner").model.get_ref("tok2vec").layers[0]))


def _nlp(folder: Path) -> Any:
    from trainers.learners.spacy.pipelines import open_pipeline  # noqa: PLC0415 - opens what plain spaCy does not

    return open_pipeline(str(folder))


def test_a_new_type_is_learnt_above_vectors_that_stay(champion: Path, tmp_path: Path) -> None:
    model = refresh(champion, tmp_path / "model")
    before, after = below(champion), below(model)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[key], after[key]) for key in before)
    assert min(f1(model, examples(40, seed=3)).values()) > 0.7


def test_a_transformer_stays_too(tmp_path: Path) -> None:
    base = make_curated_pipeline(tmp_path / "base")
    spec = spec_with(base_model=str(base), full_epochs=8, epochs=8, full_learning_rate=4e-3, learning_rate=2e-3)
    champion = learn(tmp_path / "champion", examples(60, types=("PERSON", "GPE")), spec=spec)
    model = refresh(champion, tmp_path / "model", spec)
    before, after = below(champion), below(model)
    assert any("curated_encoder" in name for _place, name in before)
    assert all(np.array_equal(before[key], after[key]) for key in before)
    assert "NEWS_ORG" in f1(model, examples(40, seed=3))


def test_each_text_is_read_once_and_the_layers_are_put_back(champion: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nlp = spacy.load(champion)
    recogniser: Any = nlp.get_pipe("ner")
    vectors = recogniser.model.get_ref("tok2vec").layers[0]
    whole = [str(doc.ents) for doc in nlp.pipe([row.text for row in examples(20)])]
    read: list[str] = []
    real = vectors.predict
    monkeypatch.setattr(type(vectors), "predict", lambda self, docs: _noted(self, docs, vectors, read, real))
    with frozen_below(recogniser):
        for _turn in range(2):
            assert [str(doc.ents) for doc in nlp.pipe([row.text for row in examples(20)])] == whole
    assert sorted(read) == sorted({row.text for row in examples(20)})
    assert recogniser.model.get_ref("tok2vec").layers[0] is vectors


def _noted(model: Any, docs: Any, vectors: Any, read: list[str], real: Any) -> Any:
    if model is vectors:
        read += [doc.text for doc in docs]
        return real(docs)
    return model._func(model, docs, is_train=False)[0]


def test_a_refresh_without_a_champion_fails(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match="needs a champion"):
        learn(tmp_path / "model", examples(10), spec=SPEC, learner=RecogniserRefresh())


def test_entities_are_refreshed_without_features_and_only_where_a_task_asks() -> None:
    assert catalog.can_refresh("ner", "spacy")
    assert not catalog.refreshes_from_features("ner", "spacy")
    assert isinstance(catalog.refresher_for(SPEC), RecogniserRefresh)
    assert not SPEC.refreshes
    assert spec_with(refresh={"enabled": True}).refreshes
