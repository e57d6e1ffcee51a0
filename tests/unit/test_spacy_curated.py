"""Pipelines with a transformer of spacy-curated-transformers: learnt from, published without anything pickled, opened."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from thinc.api import PyTorchShim

from config.errors import RunFailedError
from perennial_artifact import manifest
from perennial_artifact.description import describe
from perennial_artifact.spacy.curated import FORMAT
from perennial_client import Champion, MissingExtraError, loading
from tests.support.curated_pipeline import make_curated_pipeline
from tests.support.ner_rows import example, examples
from tests.support.opening import opened
from tests.unit.test_spacy_ner import f1, learn, spec_with
from trainers.learners.protocols import Example
from trainers.learners.spacy.ner import SpacyNerLearner
from trainers.learners.spacy.weights import put, weights_of
from trainers.learners.tried import Tried

pytestmark = pytest.mark.slow

PICKLED = b"data.pkl"
"""The name of the pickle in whatever torch.save writes."""
CHAMPION = Champion("t", "t/v1", 1, datetime.now(UTC), "ner", "spacy", "fp32", "0" * 64, 1, format=FORMAT)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_curated_pipeline(tmp_path_factory.mktemp("curated") / "base", pipes=("tagger", "ner"))


@pytest.fixture(scope="module")
def champion(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return learn(tmp_path_factory.mktemp("champion") / "model", examples(60), spec=spec_on(base))


def spec_on(base: Path, **training: Any) -> Any:
    return spec_with(base_model=str(base), **{"full_epochs": 8, "full_learning_rate": 4e-3, "learning_rate": 2e-3} | training)


def test_a_pipeline_with_a_transformer_is_learnt_published_and_opened(base: Path, champion: Path) -> None:
    assert describe(champion).format == FORMAT
    assert "spacy-curated-transformers" in describe(champion).libraries
    assert min(f1(champion, examples(30, seed=1)).values()) > 0.9
    assert (champion / "tagger" / "model").read_bytes() == (base / "tagger" / "model").read_bytes(), "other pipes stay"


def test_what_is_published_holds_nothing_pickled(base: Path, champion: Path) -> None:
    def pickled(folder: Path) -> list[str]:
        return [path.name for path in folder.rglob("*") if path.is_file() and PICKLED in path.read_bytes()]

    assert pickled(base), "as spaCy itself saves it"
    assert pickled(champion) == []
    assert manifest.regular_files(champion)


def test_weights_that_torch_pickled_are_not_read(base: Path, champion: Path, tmp_path: Path) -> None:
    nlp = spacy.load(base)
    nlp.to_disk(tmp_path / "model")
    describe(champion).write(tmp_path / "model")
    with pytest.raises(RunFailedError, match="cannot be loaded"):
        opened(tmp_path / "model")


@pytest.mark.parametrize("change", ["torchscript = true", "torchscript = ${nlp.lang}"])
def test_torchscript_is_refused_before_anything_is_built(champion: Path, tmp_path: Path, change: str) -> None:
    config = (champion / "config.cfg").read_text(encoding="utf-8")
    assert "torchscript = false" in config
    copied = tmp_path / "model"
    copied.mkdir()
    (copied / "config.cfg").write_text(config.replace("torchscript = false", change), encoding="utf-8")
    describe(champion).write(copied)
    with pytest.raises(RunFailedError, match="TorchScript"):
        opened(copied)


def test_the_next_run_starts_from_the_published_pipeline_and_may_be_averaged(base: Path, champion: Path, tmp_path: Path) -> None:
    older = [Example(f"old-{at}", row.text, row.target, is_new=False) for at, row in enumerate(examples(500))]
    newer = [Example(f"new-{at}", row.text, row.target) for at, row in enumerate(examples(20, seed=2))]
    tried: list[Tried] = []
    model = learn(
        tmp_path / "model", [*older, *newer], spec=spec_on(base, epochs=2, replay_epochs=1), warm_start=champion, tried=tried
    )
    assert len(tried) == 5
    assert min(f1(model, examples(30, seed=3)).values()) > 0.9


def test_averages_and_copies_hold_the_transformers_weights(base: Path) -> None:
    model = spacy.load(base).get_pipe("transformer").model
    before = weights_of(model)
    shims = [(at, shim) for at, layer in enumerate(model.walk()) for shim in layer.shims]
    assert all(isinstance(shim, PyTorchShim) for _at, shim in shims)
    at, shim = shims[0]
    names = {name for name, _values in shim._model.named_parameters()}
    assert names
    assert names <= {name for place, name in before if place == at}
    name = min(names)
    means = weights_of(model, {(shim.id, name): np.full_like(before[at, name], 7.0)})
    assert (means[at, name] == 7.0).all()
    put(model, means)
    after = weights_of(model)
    assert {key for key in after if not np.array_equal(after[key], before[key])} == {(at, name)}
    put(model, before)
    assert all(np.array_equal(values, before[key]) for key, values in weights_of(model).items())


@pytest.mark.parametrize("options", [{"pipes": ()}, {"all_layers": True}], ids=["no recogniser", "all layers weighed"])
def test_pipelines_of_other_builds_are_learnt_too(options: dict[str, Any], tmp_path: Path) -> None:
    base = make_curated_pipeline(tmp_path / "base", **options)
    # Signs of which the transformer sees no piece, in a row and in texts that are asked about.
    rows = [*examples(60), example(" \u0301 "), example("?!")]
    model = learn(tmp_path / "model", rows, spec=spec_on(base, full_epochs=10))
    assert min(f1(model, examples(30, seed=1)).values()) > 0.8
    assert not (model / "transformer").exists(), "nobody listens to it any more"
    for texts in (["  "], ["\u0301", "Ada Lovelace arrived in Paris on Monday ."], ["", "\n", "$" * 10_000]):
        assert len(opened(model).predict(texts)) == len(texts)


def test_the_untouched_base_is_a_baseline(base: Path) -> None:
    values = spec_on(base).model_dump()
    values["promotion"] = values["promotion"] | {"baseline": "base"}
    answers = SpacyNerLearner().baseline(type(spec_on(base)).model_validate(values), []).predict(["", "Ada left Oslo ."])
    assert [set(answer) for answer in answers] == [{"spans"}, {"spans"}]


@pytest.mark.parametrize("factory", ["transformer", "llm"])
def test_a_pipeline_of_another_package_is_refused_by_name_with_what_can_be_used(factory: str, base: Path, tmp_path: Path) -> None:
    config = (base / "config.cfg").read_text(encoding="utf-8")
    (tmp_path / "base").mkdir()
    changed = config.replace('factory = "curated_transformer"', f'factory = "{factory}"')
    (tmp_path / "base" / "config.cfg").write_text(changed, encoding="utf-8")
    with pytest.raises(RunFailedError, match=rf"'{factory}'.*curated_transformer.*en_core_web_lg"):
        learn(tmp_path / "model", examples(10), spec=spec_on(tmp_path / "base"))


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without spacy-curated-transformers."""
    monkeypatch.setitem(sys.modules, "spacy_curated_transformers", None)
    monkeypatch.delitem(sys.modules, "perennial_artifact.spacy.curated", raising=False)


@pytest.mark.usefixtures("not_installed")
def test_without_the_package_each_side_names_what_to_install(
    base: Path, champion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MissingExtraError, match=r"perennial-client\[spacy-transformers\]"):
        loading.check(CHAMPION)
    with pytest.raises(MissingExtraError, match=r"perennial-client\[spacy-transformers\]"):
        loading.load(CHAMPION, champion, "fp32", None)
    with pytest.raises(RunFailedError, match=r"perennial\[spacy-transformers\]"):
        opened(champion)
    monkeypatch.setattr("trainers.learners.spacy.pipelines.find_spec", lambda _name: None)
    with pytest.raises(RunFailedError, match=r"perennial\[spacy-transformers\]"):
        learn(tmp_path / "model", examples(10), spec=spec_on(base))
