"""The teacher's part in a run: it answers the texts that a student learns from, before the student is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import structlog

from config.errors import RunFailedError
from config.kinds import catalog as kinds
from consumers.training_set.snapshot import SCHEMA, UNLABELLED, TrainingSet
from trainers.job.spec import WORK_FOLDER, JobSpec
from trainers.learners.features import FeatureSet, read_features, write_features
from trainers.learners.opening import described, open_model
from trainers.learners.protocols import Example
from trainers.learners.taught import Taught, ask, names_of, numbers_of, refuse_unfit, silver, tags_of

_ANSWERS_FILE = "taught.parquet"
"""Among what survives a killed attempt: a large teacher takes long."""

log = structlog.get_logger(__name__)


def unlabelled_of(spec: JobSpec, training_set: TrainingSet) -> pa.Table:
    """Return the rows without gold that a teacher labels; none without a teacher."""
    return SCHEMA.empty_table() if spec.teacher is None else training_set.rows(UNLABELLED, embeddings=False)


def taught(spec: JobSpec, rows: Sequence[Example], unlabelled: Sequence[Example], tell: Callable[[str], None]) -> Taught | None:
    """Return what the teacher says of the rows and of the texts without gold; None without a teacher.

    Of entities it says something of texts without gold alone. Raises `RunFailedError` for a teacher that cannot be opened, or
    cannot teach the task.
    """
    if spec.teacher is None:
        return None
    task, training, description = spec.task, spec.task.training, described(spec.teacher)
    refuse_unfit(description, task, spec.teacher_name)
    names = (*names_of(description, task), *tags_of(spec.teacher, description, task))
    texts = [replace(row, weight=training.teacher_share, is_new=False, independent=False) for row in unlabelled]
    positional = kinds.get(task.kind).positional
    asked = texts if positional else [*rows, *texts]
    answers, found = _earlier(spec, asked, len(names)) if not positional else None, []
    if answers is None:
        tell(f"opening the teacher {spec.teacher_name}")
        teacher = open_model(spec.teacher, spec.training)
        if positional:
            found = [silver(row, answer, names, task) for row, answer in ask(teacher, asked, tell)]
            answers = FeatureSet.of([], np.empty((0, 0), dtype=np.float32))
        else:
            numbers = [numbers_of(answer, names, task.renames) for _row, answer in ask(teacher, asked, tell)]
            matrix = np.array(numbers, dtype=np.float32).reshape(len(asked), len(names))
            answers = FeatureSet.of([row.example_id for row in asked], matrix)
            write_features(answers, spec.run_dir / WORK_FOLDER / _ANSWERS_FILE)
    log.info("teacher.answered", teacher=spec.teacher_name, rows=len(asked) - len(texts), unlabelled=len(texts))
    return Taught(
        teacher=spec.teacher_name, names=names, answers=answers, unlabelled=found if positional else texts,
        share=training.teacher_share, temperature=training.teacher_temperature,
    )  # fmt: skip


def _earlier(spec: JobSpec, asked: Sequence[Example], width: int) -> FeatureSet | None:
    """Return what an earlier attempt asked; None where that is not all."""
    try:
        found = read_features(spec.run_dir / WORK_FOLDER / _ANSWERS_FILE)
    except RunFailedError:
        return None
    known = found.matrix.shape[1] == width and all(row.example_id in found for row in asked)
    return found if known else None
