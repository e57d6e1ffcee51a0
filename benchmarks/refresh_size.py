"""What a refresh costs by the number of rows: freezing, storing features, solving from nothing and from the champion's head.

As refreshes are frozen, without embeddings. Rows are made up: 40 labels, a vector of 384 numbers around each, dates over two
years. The child is the real one, in its own process. Beside it scikit-learn's logistic regression as one would call it, in
float64 and from nothing.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.linear_model import LogisticRegression

from benchmarks import report
from config.settings import SHIPPED_TASKS_DIR, load_settings
from config.tasks import load_tasks
from consumers.training_set.snapshot import SCHEMA, write_training_set
from perennial_artifact.description import Description, Input
from perennial_artifact.labels import LabelSet
from perennial_artifact.sentence.head import Head
from perennial_artifact.sentence.layout import FORMAT
from trainers.job import spec as job_spec
from trainers.job.spec import JobSpec
from trainers.learners.features import FeatureSet, write_features

LABELS = tuple(f"label-{number:02d}" for number in range(40))
WIDTH = 384
_TEST_ROWS = 2_000
_START = datetime(2024, 1, 1, tzinfo=UTC)
_DAYS = 730.0

Measured = dict[str, float]


def main() -> None:
    """Measure each size, and report."""
    parser = report.parser(__doc__ or "")
    parser.add_argument("--rows", type=int, nargs="+", help="sizes (default 3000 100000; quick 3000)")
    arguments = parser.parse_args()
    results = {f"{rows} rows": _measure(rows) for rows in arguments.rows or ([3_000] if arguments.quick else [3_000, 100_000])}
    report.write("refresh_size", arguments, results, arguments.json)


def _measure(rows: int) -> dict[str, Measured]:
    chance = np.random.default_rng(7)
    centres = chance.normal(size=(len(LABELS), WIDTH)) / np.sqrt(WIDTH)
    labels = chance.integers(0, len(LABELS), rows + _TEST_ROWS)
    features = centres[labels] + chance.normal(size=(len(labels), WIDTH)) / np.sqrt(WIDTH) * 4.0
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    found: dict[str, Measured] = {}
    with tempfile.TemporaryDirectory() as folder:
        champion = Path(folder) / "champion"
        nothing = Head(
            np.zeros((len(LABELS), WIDTH), np.float32), np.zeros(len(LABELS), np.float32), LabelSet(LABELS, frozenset(LABELS))
        )
        nothing.write(champion)
        Description("classification", "transformer", FORMAT, "minilm", LABELS, Input(256)).write(champion)
        for name in ("from nothing", "from the champion's head"):
            run_dir = Path(folder) / name.replace(" ", "-").replace("'", "")
            run_dir.mkdir()
            made = _made(labels, rows)
            with _timed(found, f"{name}: freeze"):
                write_training_set(
                    run_dir / job_spec.TRAINING_SET_FOLDER, made, run_id="r1", task="news-topics", created_at=_START, max_seq=1,
                    table_versions={}, labels={},
                )  # fmt: skip
            del made
            with _timed(found, f"{name}: store features"):
                write_features(
                    FeatureSet.of([f"{at:07d}" for at in range(len(labels))], features), run_dir / job_spec.FEATURES_FILE
                )
            subprocess.run(["cp", "-r", str(champion), str(run_dir / job_spec.CHAMPION_FOLDER)], check=True)
            with _timed(found, f"{name}: child"):
                score = _child(run_dir)
            found[f"{name}: child"]["accuracy"] = score
            champion = run_dir / job_spec.MODEL_FOLDER
    with _timed(found, "scikit-learn as one calls it"):
        plain = LogisticRegression(C=10.0, max_iter=200).fit(features[:rows].astype(np.float64), labels[:rows])
    found["scikit-learn as one calls it"]["accuracy"] = float(plain.score(features[rows:], labels[rows:]))
    return found


def _made(labels: npt.NDArray[np.int64], rows: int) -> pa.Table:
    ids = [f"{at:07d}" for at in range(len(labels))]
    step = timedelta(days=_DAYS / rows)
    made: dict[str, Any] = {
        "example_id": ids, "text": [f"text {at}" for at in ids],
        "target": [f'{{"label": "{LABELS[label]}"}}' for label in labels],
        "weight": [1.0] * len(ids), "origin": ["gold"] * len(ids), "selected_by": ["gold"] * len(ids), "story_id": ids,
        "event_time": [_START + step * min(at, rows) for at in range(len(ids))], "language": ["en"] * len(ids),
        "is_new": [rows - 10 <= at < rows for at in range(len(ids))], "role": ["train"] * rows + ["test"] * (len(ids) - rows),
        "contributor": [None] * len(ids), "document_id": [None] * len(ids), "embedding": [None] * len(ids),
        "encoder_id": ["made up"] * len(ids), "scope": [None] * len(ids),
    }  # fmt: skip
    return pa.table({name: made[name] for name in SCHEMA.names}, schema=SCHEMA)


def _child(run_dir: Path) -> float:
    task = load_tasks(SHIPPED_TASKS_DIR)["news-topics"]
    task = task.model_copy(update={"training": task.training.model_copy(update={"max_rows": 10_000_000})})
    order = JobSpec(
        run_id="r1", task=task, training=load_settings().training, full=False, refresh=True,
        training_set=run_dir / job_spec.TRAINING_SET_FOLDER, run_dir=run_dir, champion=run_dir / job_spec.CHAMPION_FOLDER,
        champion_version="news-topics/v1", batch_size=32,
    )  # fmt: skip
    job_spec.write_spec(order)
    command = [sys.executable, "-P", "-m", "trainers.job", str(run_dir / job_spec.SPEC_FILE)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    result = job_spec.read_result(run_dir)
    assert result is not None
    assert result.comparison is not None, result.error
    return result.comparison.candidate_score


@contextmanager
def _timed(found: dict[str, Measured], name: str) -> Iterator[None]:
    def cpu() -> float:
        mine, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        return mine.ru_utime + mine.ru_stime + children.ru_utime + children.ru_stime

    read: Callable[[], float] = time.perf_counter
    wall, used = read(), cpu()
    yield
    found[name] = {"wall_s": read() - wall, "cpu_s": cpu() - used}


if __name__ == "__main__":
    main()
