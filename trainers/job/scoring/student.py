"""A student beside its teacher: both answer the same test rows, in the same process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from perennial_artifact.predictor import Answer, Predictor
from trainers.compare import scoring
from trainers.compare.metrics import catalog
from trainers.job.scoring.gap import Beside, Figures
from trainers.job.spec import JobSpec
from trainers.learners.opening import open_model
from trainers.learners.protocols import Aligner

_BATCH_ROWS = 64
_WARM_UP_TEXTS = 5


def beside_teacher(
    spec: JobSpec, student: Predictor, model: Path, test: pa.Table, *, champion: Predictor | None, align: Aligner,
    answered: int, unlabelled: int,
) -> Beside | None:  # fmt: skip
    """Return what the student in the folder `model` is beside the teacher on the rows `test` of a training set.

    `champion` is the opponent where that is the teacher. None without a teacher, or without rows.
    """
    if spec.teacher is None or not test.num_rows:
        return None
    teacher = champion or open_model(spec.teacher, spec.training)
    texts = test["text"].to_pylist()
    gold = [scoring.gold_of(*each) for each in zip(test["target"].to_pylist(), test["scope"].to_pylist(), strict=True)]
    (first, first_speed), (second, second_speed) = (_answers(one, texts) for one in (student, teacher))
    aligned = [align(text, said) for text, *said in zip(texts, gold, first, second, strict=True)]
    metric = catalog.of(spec.task)
    scores = metric.pair(*(list(column) for column in zip(*aligned, strict=True))).scores()
    ours, theirs = (
        Figures(score=score, texts_per_s=speed, size_mib=_size_mib(folder))
        for score, speed, folder in zip(scores, (first_speed, second_speed), (model, spec.teacher), strict=True)
    )
    return Beside(
        teacher=spec.teacher_name, metric=spec.task.promotion.metric, rows=len(texts), of_teacher=theirs, of_student=ours,
        gap=metric.scale.gain(theirs.score, ours.score), answered=answered, unlabelled=unlabelled,
    )  # fmt: skip


def _answers(model: Predictor, texts: Sequence[str]) -> tuple[list[Answer], float]:
    """Return the answers of a model that is warm, and how many texts it answered in a second."""
    model.predict(list(texts[:_WARM_UP_TEXTS]))
    began, found = time.perf_counter(), list[Answer]()
    for start in range(0, len(texts), _BATCH_ROWS):
        found += model.predict(list(texts[start : start + _BATCH_ROWS]))
    return found, len(texts) / max(time.perf_counter() - began, 1e-9)


def _size_mib(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
