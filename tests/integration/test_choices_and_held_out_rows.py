"""What a run chooses depends on training rows alone: other labels on the held-out rows change the comparison and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from config.settings import load_settings
from consumers.training_set.snapshot import ROWS_FILE
from perennial_artifact.description import Description, Input
from perennial_artifact.labels import LabelSet
from perennial_artifact.sentence.head import Head
from perennial_artifact.sentence.layout import FORMAT, HEAD_FOLDER, WEIGHTS_FILE
from tests.support.ner_rows import training_set
from tests.support.tiny_models import toy_rows, toy_spec
from trainers.job import spec as job_spec
from trainers.job import steps as job_steps
from trainers.job.guards import StopRequest
from trainers.job.progress import ProgressLog
from trainers.job.spec import JobResult, JobSpec
from trainers.learners.features import FeatureSet, write_features
from trainers.learners.protocols import Example

NAMES = ("SPORT", "MARKETS", "WEATHER")


def refreshed(run_dir: Path, held_out: list[Example]) -> JobResult:
    """Refresh a made-up champion on 300 rows; no model library is loaded, the features are made up too."""
    run_dir.mkdir()
    train = toy_rows(NAMES, 100)
    frozen = training_set(run_dir / job_spec.TRAINING_SET_FOLDER, train=train, test=held_out, old=250)
    chance = np.random.default_rng(5)
    rows = [*train, *held_out]
    ids = [f"train-{at:05d}" for at in range(len(train))] + [f"test-{at:05d}" for at in range(len(held_out))]
    near = np.eye(3, 8)[[NAMES.index(row.target["label"]) for row in (*train, *toy_rows(NAMES, 20, seed=3))]]
    features = (near + chance.normal(size=(len(rows), 8))).astype(np.float32)
    write_features(FeatureSet.of(ids, features), run_dir / job_spec.FEATURES_FILE)
    champion = run_dir / job_spec.CHAMPION_FOLDER
    Head(np.zeros((3, 8), np.float32), np.zeros(3, np.float32), LabelSet(NAMES, frozenset(NAMES))).write(champion)
    Description("classification", "transformer", FORMAT, "minilm", NAMES, Input(32)).write(champion)
    assert (frozen.folder / ROWS_FILE).exists()
    order = JobSpec(
        run_id="r1", task=toy_spec("minilm"), training=load_settings().training, full=False, refresh=True,
        training_set=frozen.folder, run_dir=run_dir, champion=champion, champion_version="toy-topics/v1", batch_size=8,
    )  # fmt: skip
    return job_steps.execute(order, StopRequest(), ProgressLog("r1", run_dir / job_spec.HISTORY_FILE, None))


def test_permuted_labels_of_held_out_rows_change_no_choice_and_no_weight(tmp_path: Path) -> None:
    held_out = toy_rows(NAMES, 20, seed=3)
    turned = {"SPORT": "MARKETS", "MARKETS": "WEATHER", "WEATHER": "SPORT"}
    permuted = [replace(row, target={"label": turned[row.target["label"]]}) for row in held_out]
    first, second = refreshed(tmp_path / "a", held_out), refreshed(tmp_path / "b", permuted)
    assert [(one.name, one.scores, one.chosen) for one in first.tried] == [
        (one.name, one.scores, one.chosen) for one in second.tried
    ]
    assert len(first.tried) > 3
    weights = [result.model / HEAD_FOLDER / WEIGHTS_FILE for result in (first, second) if result.model is not None]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert first.comparison is not None
    assert second.comparison is not None
    assert first.comparison.candidate_score > second.comparison.candidate_score
