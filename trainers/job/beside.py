"""The declared baseline: its name, and its score where the candidate is compared with a champion."""

from __future__ import annotations

import json

import pyarrow as pa

from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from perennial_artifact.predictor import Predictor
from trainers.compare.metrics import catalog
from trainers.learners.protocols import Aligner

_BATCH_ROWS = 64


def baseline_name(task: TaskSpec) -> str:
    """Return what people read where a first model is compared with the declared baseline."""
    if task.promotion.baseline == "base":
        return f"baseline: untouched {task.base_model}"
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
