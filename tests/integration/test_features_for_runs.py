"""Features for a run: from the buffer or the store where these are the champion's encoder's own, else computed."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import structlog

from config.errors import RunFailedError
from consumers.enrichment.feature_store import FeatureStore
from consumers.events.schemas import content_sha256
from consumers.text import ngrams
from consumers.training_set.snapshot import SCHEMA, load_training_set, write_training_set
from daemon.training.preparing.features import Features, StoppedError, encoder_key
from perennial_artifact.description import describe
from perennial_artifact.sentence.head import Head
from tests.support.ner_rows import training_set
from tests.support.opening import ON_CPU, opened
from tests.support.tiny_models import make_tiny_bert, toy_plan, toy_rows, toy_spec
from trainers.job import spec as job_spec
from trainers.learners.encoders.classification import ClassificationLearner
from trainers.learners.features import read_features

ROWS = toy_rows(["SPORT", "MARKETS"], 20)
TEXTS = [row.text for row in ROWS]


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("champion")
    spec = toy_spec(make_tiny_bert(folder / "base"), training={"tuning": "never", "max_tokens": 32})
    ClassificationLearner().train(toy_plan(spec, ROWS, folder / "work"), folder / "model")
    return folder / "model"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FeatureStore]:
    found = FeatureStore(tmp_path / "data")
    yield found
    found.close()


def made_by(champion: Path) -> np.ndarray:
    found: np.ndarray = opened(champion).encoder.features(TEXTS)[0]
    return found


def frozen(run_dir: Path, embeddings: np.ndarray | None, makers: Sequence[str | None]) -> Path:
    """Freeze the rows with these embeddings, made by these encoders."""
    whole = training_set(run_dir / "plain", train=ROWS)
    rows = whole.rows("train")
    vectors = [None] * len(ROWS) if embeddings is None else embeddings.tolist()
    rows = rows.set_column(
        SCHEMA.get_field_index("embedding"), SCHEMA.field("embedding"), pa.array(vectors, pa.list_(pa.float32()))
    )
    rows = rows.set_column(SCHEMA.get_field_index("encoder_id"), SCHEMA.field("encoder_id"), pa.array(list(makers), pa.string()))
    manifest = whole.manifest
    write_training_set(
        run_dir / job_spec.TRAINING_SET_FOLDER, rows, run_id="r1", task="t", created_at=manifest.created_at, max_seq=1,
        table_versions={}, labels={},
    )  # fmt: skip
    return run_dir


def prepared(run_dir: Path, champion: Path, store: FeatureStore) -> tuple[np.ndarray, dict[str, dict[str, object]]]:
    """Return the features by row, and what the log says, by event."""
    with structlog.testing.capture_logs() as logs:
        assert Features(store, ON_CPU, threading.Event()).prepare(run_dir, champion)
    ids = load_training_set(run_dir / job_spec.TRAINING_SET_FOLDER).rows("train")["example_id"].to_pylist()
    return read_features(run_dir / job_spec.FEATURES_FILE).rows(ids), {entry["event"]: entry for entry in logs}


def test_the_buffers_vectors_serve_where_they_are_the_same(champion: Path, store: FeatureStore, tmp_path: Path) -> None:
    run_dir = frozen(tmp_path / "run", made_by(champion), ["tiny@1"] * len(ROWS))
    found, logs = prepared(run_dir, champion, store)
    assert found == pytest.approx(made_by(champion))
    assert logs["features.buffer_checked"]["same"] is True
    assert logs["features.prepared"]["computed"] == 0


@pytest.mark.parametrize("other", ["another encoder", "another width", "not finite", "none"])
def test_else_they_are_computed_and_kept(champion: Path, store: FeatureStore, tmp_path: Path, other: str) -> None:
    chance = np.random.default_rng(1)
    embeddings = {
        "another encoder": chance.normal(size=(len(ROWS), 32)), "another width": chance.normal(size=(len(ROWS), 7)),
        "not finite": np.full((len(ROWS), 32), np.nan), "none": None,
    }[other]  # fmt: skip
    run_dir = frozen(tmp_path / "run", embeddings, ["other@1"] * len(ROWS))
    found, logs = prepared(run_dir, champion, store)
    assert found == pytest.approx(made_by(champion), abs=1e-5)
    assert logs["features.prepared"]["computed"] == len(ROWS)
    again, logs = prepared(frozen(tmp_path / "again", embeddings, ["other@1"] * len(ROWS)), champion, store)
    assert again == pytest.approx(found, abs=1e-6)
    assert logs["features.store_checked"]["same"] is True
    assert logs["features.prepared"]["computed"] == 0


def test_a_tuned_encoder_is_not_compared_with_the_buffers(champion: Path, store: FeatureStore, tmp_path: Path) -> None:
    tuned = Path(shutil.copytree(champion, tmp_path / "tuned"))
    head = Head.read(tuned)
    replace(head, solved=replace(head.solved, tuned_rows=5)).write(tuned)
    _found, logs = prepared(frozen(tmp_path / "run", made_by(tuned), ["tiny@1"] * len(ROWS)), tuned, store)
    assert "features.buffer_checked" not in logs
    assert logs["features.prepared"]["computed"] == len(ROWS)


def test_vectors_of_letters_are_never_taken_for_the_encoders(champion: Path, store: FeatureStore, tmp_path: Path) -> None:
    vectors = made_by(champion)
    vectors[3] = 1.0
    makers = ["tiny@1"] * len(ROWS)
    makers[3] = ngrams.ENCODER_ID
    found, logs = prepared(frozen(tmp_path / "run", vectors, makers), champion, store)
    assert found == pytest.approx(made_by(champion), abs=1e-5)
    assert logs["features.prepared"]["computed"] == 1


def test_a_store_that_another_encoder_filled_is_computed_anew(champion: Path, store: FeatureStore, tmp_path: Path) -> None:
    key = encoder_key(champion, describe(champion), "fp32")
    store.put(key, {content_sha256(text): np.ones(32, dtype=np.float32) for text in TEXTS})
    found, logs = prepared(frozen(tmp_path / "run", None, [None] * len(ROWS)), champion, store)
    assert found == pytest.approx(made_by(champion), abs=1e-5)
    assert logs["features.store_checked"]["same"] is False
    assert logs["features.prepared"]["computed"] == len(ROWS)


def test_too_many_missing_are_left_alone(champion: Path, store: FeatureStore, tmp_path: Path) -> None:
    run_dir = frozen(tmp_path / "run", None, [None] * len(ROWS))
    assert not Features(store, ON_CPU, threading.Event()).prepare(run_dir, champion, most_missing=5)
    assert not (run_dir / job_spec.FEATURES_FILE).exists()


def test_a_stop_interrupts_the_computing(champion: Path, store: FeatureStore, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        Features(store, ON_CPU, stop).prepare(frozen(tmp_path / "run", None, [None] * len(ROWS)), champion)


def test_an_encoder_that_cannot_be_loaded_any_more_fails_the_run(champion: Path, store: FeatureStore, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    for path in champion.rglob("*"):
        if path.is_file():
            (broken / path.relative_to(champion)).parent.mkdir(parents=True, exist_ok=True)
            (broken / path.relative_to(champion)).write_bytes(path.read_bytes())
    (broken / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(RunFailedError, match="cannot be read"):
        Features(store, ON_CPU, threading.Event()).prepare(frozen(tmp_path / "run", None, [None] * len(ROWS)), broken)
