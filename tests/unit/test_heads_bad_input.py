"""Heads of rows that are odd, contradict each other or are cut short: a stated behaviour, or a run that fails and says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config.errors import RunFailedError
from perennial_artifact.description import Description, Input
from perennial_artifact.sentence.head import Head, Solved
from perennial_artifact.sentence.layout import FORMAT
from tests.support.tiny_models import CPU, toy_spec
from tests.unit.test_heads import NAMES, rows
from trainers.learners.features import FeatureSet, read_features, write_features
from trainers.learners.heads.building import build
from trainers.learners.heads.published.refresh import HeadRefresh
from trainers.learners.heads.solving import solve
from trainers.learners.heads.validation import forward
from trainers.learners.heads.validation.forward import Choice
from trainers.learners.protocols import Example, TrainingPlan

WIDTH = 8
START = datetime(2026, 1, 1, tzinfo=UTC)


def examples(labels: Sequence[str]) -> list[Example]:
    return [
        Example(example_id=f"e-{at}", text=f"text {at}", target={"label": name}, event_time=START + timedelta(days=at))
        for at, name in enumerate(labels)
    ]


def features_of(found: Sequence[Example], width: int = WIDTH) -> FeatureSet:
    """One direction for each label, with some noise."""
    chance = np.random.default_rng(1)
    names = sorted({str(row.target["label"]) for row in found})
    matrix = np.stack([np.eye(width)[names.index(str(row.target["label"]))] for row in found])
    return FeatureSet.of([row.example_id for row in found], (matrix + 0.1 * chance.normal(size=matrix.shape)).astype(np.float32))


def champion(folder: Path, *, width: int = WIDTH) -> Path:
    """A model folder with a head and a file that stands for its encoder."""
    folder.mkdir()
    (folder / "encoder.txt").write_bytes(b"weights")
    weight = np.eye(3, width, dtype=np.float32)
    Head(weight, np.zeros(3, np.float32), NAMES).write(folder)
    Description(
        kind="classification", backend="transformer", format=FORMAT, base="minilm", labels=NAMES.names, input=Input(16)
    ).write(folder)
    return folder


def refresh(folder: Path, found: Sequence[Example], stored: FeatureSet | None, *, champion_width: int = WIDTH) -> Head:
    """Refresh a champion's head on these rows; return the new one."""
    output = folder / "new"
    output.mkdir()
    plan = TrainingPlan(
        spec=toy_spec("minilm"), rows=found, full=False, warm_start=champion(folder / "champion", width=champion_width), seed=1,
        hardware=CPU, batch_size=8, work_dir=folder, report=lambda _step: None, champion_features=stored,
    )  # fmt: skip
    HeadRefresh().train(plan, output)
    return Head.read(output)


def test_a_label_with_one_example_is_learnt_and_harms_no_other() -> None:
    some = rows(200, labels=2)
    lonely = np.zeros((1, 8), dtype=np.float32)
    lonely[0, 7] = 1.0
    with_it = replace(
        some, features=np.concatenate([some.features, lonely]), labels=np.append(some.labels, 2), weights=np.ones(201),
        days=np.append(some.days, 700.0), documents=np.arange(201, dtype=np.intp), independent=np.ones(201, dtype=bool),
    )  # fmt: skip
    head = build(with_it, NAMES, Choice(), Solved())
    assert head.labels.seen == set(NAMES.names)
    answers = head.answers(np.concatenate([some.features, lonely]), [False] * 201)
    assert answers[-1]["scores"]["WEATHER"] > head.answers(some.features[:1], [False])[0]["scores"]["WEATHER"]
    before = build(some, NAMES, Choice(), Solved()).answers(some.features, [False] * 200)
    same = [one["label"] == other["label"] for one, other in zip(answers, before, strict=False)]
    assert sum(same) >= 198
    assert np.isfinite(head.weight).all()


def test_without_a_validation_side_the_choice_stays_and_nothing_is_calibrated() -> None:
    some = replace(rows(300), independent=np.zeros(300, dtype=bool))
    before = Choice(half_life_days=730.0, prior_days=None, strength=3.0)
    assert forward.choose(some, before, lambda _one: None) == before
    assert forward.judged_rows(some, before) is None
    assert build(some, NAMES, before, Solved()).solved.temperature == 1.0


def test_the_same_text_under_two_labels_is_answered_with_both_about_alike() -> None:
    some = rows(300)
    other = replace(some, labels=((some.labels + 1) % 3).astype(np.intp))
    both = replace(
        some, features=np.concatenate([some.features, other.features]), labels=np.concatenate([some.labels, other.labels]),
        weights=np.ones(600), days=np.concatenate([some.days, other.days]),
        documents=np.concatenate([some.documents, other.documents]), independent=np.ones(600, dtype=bool),
    )  # fmt: skip
    head = build(both, NAMES, Choice(None, None, 10.0), Solved())
    probabilities = head.probabilities(some.features)
    places = np.arange(300)
    said, contrary = probabilities[places, some.labels].mean(), probabilities[places, other.labels].mean()
    assert said == pytest.approx(contrary, abs=0.05)
    assert probabilities.max() < 0.8, "nothing here is certain"


def test_rows_of_one_label_fail_the_refresh_and_leave_no_model(tmp_path: Path) -> None:
    found = examples(["SPORT"] * 12)
    with pytest.raises(RunFailedError, match="at least two labels are needed"):
        refresh(tmp_path, found, features_of(found))
    assert list((tmp_path / "new").iterdir()) == []


def test_features_of_another_width_fail_the_refresh(tmp_path: Path) -> None:
    found = examples(["SPORT", "MARKETS"] * 8)
    with pytest.raises(RunFailedError, match="the stored features have 5 numbers and the champion's head reads 8"):
        refresh(tmp_path, found, features_of(found, width=5))
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("stored", [None, "of others"])
def test_a_refresh_without_features_fails(tmp_path: Path, stored: str | None) -> None:
    found = examples(["SPORT", "MARKETS"] * 8)
    others = [replace(row, example_id=f"other-{row.example_id}") for row in found]
    with pytest.raises(RunFailedError, match="no features of the champion's encoder are stored"):
        refresh(tmp_path, found, features_of(others) if stored else None)


def test_rows_whose_features_are_missing_or_no_numbers_are_left_out(tmp_path: Path) -> None:
    found = examples(["SPORT", "MARKETS"] * 20)
    some = features_of(found)
    some.matrix[4, 2] = np.nan
    some.matrix[5, 0] = np.inf
    write_features(some, tmp_path / "features.parquet")
    read = read_features(tmp_path / "features.parquet")
    assert "e-4" not in read
    assert "e-5" not in read
    head = refresh(tmp_path, found, read)
    assert head.solved.rows == 38
    assert np.isfinite(head.weight).all()


def test_vectors_of_another_width_among_the_stored_ones_are_left_out(tmp_path: Path) -> None:
    vectors = [[1.0] * 8, [2.0] * 8, [3.0] * 3, None, []]
    path = tmp_path / "features.parquet"
    table = {"example_id": [f"e-{at}" for at in range(5)], "features": pa.array(vectors, pa.list_(pa.float32()))}
    pq.write_table(pa.table(table), path)
    read = read_features(path)
    assert sorted(read.places) == ["e-0", "e-1"]
    assert read.rows(["e-1"]).tolist() == [[2.0] * 8]


@pytest.mark.parametrize("damage", ["cut short", "no table", "gone", "other columns"])
def test_a_damaged_file_of_features_fails_the_run_and_says_what_comes_next(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "features.parquet"
    found = examples(["SPORT", "MARKETS"] * 8)
    write_features(features_of(found), path)
    if damage == "cut short":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "no table":
        path.write_bytes(b"no table")
    elif damage == "gone":
        path.unlink()
    else:
        pq.write_table(pa.table({"example_id": ["e-0"]}), path)
    with pytest.raises(RunFailedError, match="cannot be read"):
        read_features(path)


def test_many_labels_of_few_rows_are_learnt() -> None:
    chance = np.random.default_rng(3)
    count, labels = 1_200, 300
    ids = np.arange(count) % labels
    features = chance.normal(size=(labels, 32))[ids] + 0.3 * chance.normal(size=(count, 32))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    found = solve(features.astype(np.float32), ids, np.ones(count), strength=10.0)
    assert (found.scores(features.astype(np.float32)).argmax(axis=1) == ids).mean() > 0.9
