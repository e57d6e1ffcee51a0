"""Further blocks beside an encoder's features: a format of its own, refreshed without torch, refused where damaged."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from config.errors import RunFailedError
from daemon.training.preparing.features import encoder_key
from perennial_artifact.blocks.classifier import BlocksClassifier
from perennial_artifact.blocks.features import BLOCKS_FILE, NAMES, Blocks, Ngrams, named
from perennial_artifact.compute import Compute
from perennial_artifact.description import describe
from perennial_artifact.errors import UnusableError
from perennial_artifact.formats import open_model
from perennial_artifact.sentence.head import Head
from perennial_artifact.sentence.layout import BASE_FOLDER, BLOCKS_FORMAT, FORMAT
from tests.support.tiny_models import make_tiny_bert, toy_plan, toy_rows, toy_spec
from trainers.learners.encoders.classification import ClassificationLearner
from trainers.learners.features import FeatureSet
from trainers.learners.heads.published.answering import open_from_features
from trainers.learners.heads.published.refresh import HeadRefresh

ROWS = toy_rows(("SPORT", "MARKETS"), 60)
WIDTH = 32
TEXTS = [row.text for row in toy_rows(("SPORT", "MARKETS"), 10, seed=4)] + ["", "goal " * 500]
RULES = {"max_tokens": 32, "full_epochs": 4, "full_learning_rate": 5e-3}


@dataclass
class Made:
    """A model with blocks and one without, of the same rows."""

    spec: Any
    folder: Path
    plain: Path
    features: FeatureSet
    """What its encoders make of the rows."""


@pytest.fixture(scope="module", params=[("ngrams",), ("base",), ("ngrams", "base")], ids="+".join)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("blocks")
    spec = toy_spec(make_tiny_bert(folder / "bert"), training={**RULES, "feature_blocks": request.param})
    ClassificationLearner().train(toy_plan(spec, ROWS, folder / "work"), folder / "model")
    without = toy_spec(folder / "bert", training=RULES)
    ClassificationLearner().train(toy_plan(without, ROWS, folder / "work"), folder / "plain")
    model = open_model(folder / "model", Compute())
    assert isinstance(model, BlocksClassifier)
    features, _cut = model.encoder.features([row.text for row in ROWS])
    return Made(spec, folder / "model", folder / "plain", FeatureSet.of([row.example_id for row in ROWS], features))


@pytest.fixture
def copied(made: Made, tmp_path: Path) -> Path:
    shutil.copytree(made.folder, tmp_path / "copy")
    return tmp_path / "copy"


def refreshed(made: Made, folder: Path, output: Path, features: FeatureSet) -> Path:
    plan = toy_plan(made.spec, ROWS, output.parent, warm_start=folder, champion_features=features)
    output.mkdir()
    HeadRefresh().train(plan, output)
    return output


def answers(folder: Path) -> list[dict[str, Any]]:
    return [dict(answer) for answer in open_model(folder, Compute()).predict(TEXTS)]


def test_the_head_reads_the_encoder_and_the_blocks(made: Made) -> None:
    assert describe(made.folder).format == BLOCKS_FORMAT
    assert describe(made.plain).format == FORMAT
    model = open_model(made.folder, Compute())
    assert isinstance(model, BlocksClassifier)
    asked = made.spec.training.feature_blocks
    assert model.blocks.names == tuple(sorted(asked))
    widths = [WIDTH, *([WIDTH] if "base" in asked else []), *([model.blocks.ngrams.columns] if model.blocks.ngrams else [])]
    assert model.head.weight.shape == (2, sum(widths))
    for part in np.split(model.head.weight, np.cumsum(widths)[:-1], axis=1):
        assert np.abs(part).max() > 0, "something was learnt of each block"
    right = [answer["label"] for answer in model.predict([row.text for row in ROWS])]
    assert right == [row.target["label"] for row in ROWS]
    assert [answer["truncated"] for answer in answers(made.folder)][-2:] == [False, True]
    assert model.predict([]) == []


def test_answers_do_not_depend_on_what_is_asked_beside(made: Made) -> None:
    model = open_model(made.folder, Compute())
    for text, together in zip(TEXTS, model.predict(TEXTS), strict=True):
        alone = model.predict([text])[0]
        assert alone["scores"] == pytest.approx(together["scores"], abs=1e-5)


def test_its_encoder_is_known_by_the_same_name(made: Made) -> None:
    keys = {encoder_key(folder, describe(folder), "fp32") for folder in (made.folder, made.plain)}
    assert len(keys) == 1, "features that are stored serve both"


def test_a_refresh_keeps_the_blocks_and_gives_the_same_answers_from_stored_features(made: Made, tmp_path: Path) -> None:
    after = refreshed(made, made.folder, tmp_path / "after", made.features)
    assert describe(after).format == BLOCKS_FORMAT
    assert Blocks.read(after) == Blocks.read(made.folder)
    assert Head.read(after).solved.refreshes == 1
    by_text = {row.text: row.example_id for row in ROWS}
    texts = [row.text for row in ROWS[:20]]
    scored = open_from_features(after, made.features, by_text).predict(texts)
    for ours, served in zip(scored, open_model(after, Compute()).predict(texts), strict=True):
        assert ours["scores"] == pytest.approx(served["scores"], abs=1e-5)


@pytest.mark.process
def test_a_refresh_of_it_loads_no_torch(made: Made) -> None:
    code = (
        "import sys; from pathlib import Path; import numpy as np; from trainers.learners.features import FeatureSet;"
        "from trainers.learners.heads.published.answering import open_from_features;"
        f"features = FeatureSet.of(['a'], np.zeros((1, {made.features.matrix.shape[1]}), np.float32));"
        f"open_from_features(Path({str(made.folder)!r}), features, {{'a text': 'a'}}).predict(['a text']);"
        "print('torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "False"


def test_serving_goes_on_with_the_encoder_after_a_refresh(made: Made, tmp_path: Path) -> None:
    after = refreshed(made, made.folder, tmp_path / "after", made.features)
    before = open_model(made.folder, Compute())
    assert isinstance(before, BlocksClassifier)
    changed = ["head/model.safetensors", "head/head.json", BLOCKS_FILE, "labels.json", "model.json"]
    for other in ("model.safetensors", f"{BASE_FOLDER}/model.safetensors"):
        assert BlocksClassifier.open_after(after, describe(after), before=before, changed=[*changed, other]) is None
    shared = BlocksClassifier.open_after(after, describe(after), before=before, changed=changed)
    assert shared is not None
    assert shared.encoder is before.encoder
    assert shared.predict(TEXTS) == open_model(after, Compute()).predict(TEXTS)


def test_a_later_run_of_a_task_without_blocks_goes_on_without_them(made: Made, tmp_path: Path) -> None:
    spec = made.spec.model_copy(update={"training": made.spec.training.model_copy(update={"feature_blocks": ()})})
    plan = toy_plan(spec, ROWS, tmp_path / "work", warm_start=made.folder)
    ClassificationLearner().train(plan, tmp_path / "next")
    assert describe(tmp_path / "next").format == FORMAT
    assert answers(tmp_path / "next")


def test_features_of_another_encoder_fail_the_refresh(made: Made, tmp_path: Path) -> None:
    other = FeatureSet.of(list(made.features.places), np.ones((len(made.features), 7), np.float32))
    with pytest.raises(RunFailedError, match="another encoder's"):
        refreshed(made, made.folder, tmp_path / "after", other)


def _rewritten(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = json.loads((folder / BLOCKS_FILE).read_text(encoding="utf-8"))
        change(content)
        (folder / BLOCKS_FILE).write_text(json.dumps(content), encoding="utf-8")

    return damage


def _every_block(**changes: Any) -> Callable[[Path], None]:
    return _rewritten(lambda content: [content[name].update(changes) for name in NAMES if name in content])


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / BLOCKS_FILE).unlink(),
        lambda folder: (folder / BLOCKS_FILE).write_bytes(b"{torn"),
        lambda folder: (folder / BLOCKS_FILE).write_bytes(b"[]"),
        _rewritten(lambda content: content.update(format_version=2)),
        _rewritten(lambda content: content.update(images={})),
        _rewritten(lambda content: content.pop(next(name for name in content if name in NAMES))),
        _every_block(columns=64),
        _every_block(columns=1 << 30),
        _every_block(columns="32"),
        _every_block(columns=-1),
        _every_block(analyzer="eval"),
        _rewritten(lambda content: content.update(ngrams={"shortest": 3})),
        _rewritten(lambda content: content.update(ngrams={"longest": 50})),
        _rewritten(lambda content: content.update(base={})),
    ],
)
def test_a_damaged_folder_is_refused(copied: Path, damage: Callable[[Path], None]) -> None:
    damage(copied)
    with pytest.raises(UnusableError):
        open_model(copied, Compute())


def test_a_folder_without_blocks_that_says_it_has_some_is_refused(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    shutil.copytree(made.plain, folder)
    replace(describe(folder), format=BLOCKS_FORMAT).write(folder)
    with pytest.raises(UnusableError, match="blocks"):
        open_model(folder, Compute())


def test_an_unknown_block_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="feature_blocks"):
        toy_spec("minilm", training={"feature_blocks": ["pictures"]})
    with pytest.raises(ValidationError, match="feature_blocks"):
        toy_spec("minilm", training={"feature_blocks": ["ngrams", "ngrams"]})
    with pytest.raises(UnusableError, match="pictures"):
        named(["pictures"], base_columns=None)
    assert named([], base_columns=None) is None
    assert named(["base"], base_columns=None) is None, "it was left out"


def test_a_text_of_any_length_and_of_no_words_has_a_row() -> None:
    ngrams = Ngrams()
    texts = ["", "...", "word " * 1_000_000]
    found = ngrams.of(texts)
    assert found.shape == (3, ngrams.columns)
    assert np.asarray(abs(found).sum(axis=1)).reshape(-1)[:2] == pytest.approx([0.0, 0.0])
    assert float(np.sqrt((found[[2]] ** 2).sum())) == pytest.approx(1.0, abs=1e-5)
