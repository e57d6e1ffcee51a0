"""The candidate answers a sample of the rows that it has learnt: the over-fitting check."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from config.tasks import TaskSpec
from perennial_artifact.predictor import Predictor
from trainers.compare import scoring
from trainers.compare.comparison import Comparison
from trainers.compare.metrics import catalog
from trainers.job.scoring.fit import Fit
from trainers.learners.protocols import Aligner

_MOST_ROWS = 300
_BUDGET_S = 20.0
_BATCH_ROWS = 64
_MOST_CHARS = 20_000
"""A longer text, which a tokenizer may take minutes for, says no more about over-fitting than others."""


def measure(
    task: TaskSpec, candidate: Predictor, learnt: pa.Table, seen: Comparison, *, align: Aligner, seed: int,
    check: Callable[[], None], clock: Callable[[], float] = time.monotonic,
) -> Fit | None:  # fmt: skip
    """Return how the candidate does on a sample of `learnt` (columns of a training set), at most 300 rows and about 20 s.

    None where there are no such rows, or none to compare with. `check` is called between batches; it may raise.
    """
    learnt = learnt.filter(pc.less_equal(pc.utf8_length(learnt["text"]), _MOST_CHARS))
    if not learnt.num_rows or not seen.rows:
        return None
    chosen = random.Random(seed).sample(range(learnt.num_rows), min(_MOST_ROWS, learnt.num_rows))  # noqa: S311 - a sample
    rows = learnt.select(["text", "target", "scope"]).take(pa.array(sorted(chosen))).to_pylist()
    random.Random(seed).shuffle(rows)  # noqa: S311 - where time runs out, what was answered is a sample too
    gold, answers = [], []
    began = clock()
    for start in range(0, len(rows), _BATCH_ROWS):
        if start and clock() - began > _BUDGET_S:
            break
        batch = rows[start : start + _BATCH_ROWS]
        for row, answer in zip(batch, candidate.predict([row["text"] for row in batch]), strict=True):
            right, said = align(row["text"], [scoring.gold_of(row["target"], row["scope"]), answer])
            gold.append(right)
            answers.append(said)
        check()
    score, _same = catalog.of(task).pair(gold, answers, answers).scores()
    return Fit(metric=seen.metric, rows=len(gold), score=score, held_out=seen.rows, held_out_score=seen.candidate_score)
