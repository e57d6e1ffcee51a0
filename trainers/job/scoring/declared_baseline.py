"""The declared baseline: its name, and its score where the candidate is compared with a champion."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa

from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from perennial_artifact.predictor import Predictor
from trainers.compare.metrics import catalog
from trainers.learners.protocols import Aligner, Example, Learner

_BATCH_ROWS = 64


def baseline_of(task: TaskSpec, learner: Learner, rows: Sequence[Example]) -> Predictor:
    """Return the declared baseline that a first model must beat: the task's keywords, or what its learner makes of rows."""
    if task.promotion.baseline == "keywords" and task.keywords is not None:
        return task.keywords
    return learner.baseline(task, rows)


def baseline_name(task: TaskSpec) -> str:
    """Return what people read where a first model is compared with the declared baseline."""
    if task.promotion.baseline == "base":
        return f"baseline: untouched {task.base_model}"
    if task.promotion.baseline == "keywords":
        return "baseline: keywords"
    return f"baseline: {kinds.get(task.kind).words.majority}"


def baseline_score(task: TaskSpec, baseline: Predictor, test: pa.Table, *, align: Aligner) -> float | None:
    """Return the score of `baseline` on the rows `test` of a training set, aligned as the candidate's; None without rows."""
    texts, targets = test["text"].to_pylist(), test["target"].to_pylist()
    if not texts:
        return None
    gold, answers = [], []
    for start in range(0, len(texts), _BATCH_ROWS):
        batch = texts[start : start + _BATCH_ROWS]
        for text, target, answer in zip(batch, targets[start : start + _BATCH_ROWS], baseline.predict(batch), strict=True):
            right, said = align(text, [json.loads(target), answer])
            gold.append(right)
            answers.append(said)
    score, _same = catalog.of(task).pair(gold, answers, answers).scores()
    return score
