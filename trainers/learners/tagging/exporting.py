"""The variant of a token classifier: judged on the newest rows, by the task's metric of the entities that it finds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from perennial_artifact.compute import Compute, Used
from perennial_artifact.description import describe
from perennial_artifact.labels import LabelSet
from perennial_artifact.predictor import Answer
from perennial_artifact.tagging.entities import TokenClassifier, by_torch, open_weights
from perennial_artifact.variants.note import Variant
from perennial_artifact.variants.runtimes import COMPILED, WEIGHTS
from trainers.export.choosing import Judged
from trainers.export.writing import open_written
from trainers.learners import exporting
from trainers.learners.entities.judging import Judge
from trainers.learners.protocols import Example, TrainingPlan
from trainers.learners.tagging.rows import TaggedRow

_MOST_JUDGED = 300
_LEAST_JUDGED = 50
"""Rows below which a score says nothing."""


def export(
    plan: TrainingPlan, output: Path, rows: Sequence[TaggedRow], examples: Sequence[Example], champion: Path | None
) -> None:
    """Give the model in `output`, which is complete, the variant that the task wishes for, where it is good.

    `examples` are the rows that it has learnt from, or others that nobody has learnt from; the newest of them judge.
    """
    if not exporting.is_wished(plan):
        return
    newest = sorted(examples, key=lambda row: row.event_time)[-_MOST_JUDGED:]
    windows = [list(window.input_ids) for row in rows for window in row.windows]
    exporting.export(plan, output, windows, _Judge(plan, output, newest), champion=champion)


class _Judge:
    def __init__(self, plan: TrainingPlan, output: Path, rows: Sequence[Example]) -> None:
        self._plan, self._output, self._rows = plan, output, rows
        self._texts = [row.text for row in rows]

    def __call__(self, variant: Variant, folder: Path) -> Judged:
        theirs, their_s, before = self._weights
        model = self._open(variant, folder)
        ours, our_s = _timed(model, self._texts)
        speed = their_s / max(our_s, 1e-9)
        if self._judge is None or before is None or len(self._rows) < _LEAST_JUDGED:
            return Judged(None, ours == theirs, speed)
        after = self._judge.score(model, self._rows)
        lost = (after - before) * (1 if self._plan.lower_is_better else -1)
        metric = self._plan.metric or "score"
        told = f"{metric} {before:.4f} -> {after:.4f} on the {len(self._rows)} newest rows"
        return Judged(lost, ours == theirs, speed, {metric: after}, told)

    @cached_property
    def _of_weights(self) -> TokenClassifier:
        compute = replace(self._plan.hardware.compute, variants=False)
        return TokenClassifier.open(self._output, describe(self._output), compute)

    @cached_property
    def _judge(self) -> Judge | None:
        return None if self._plan.score is None else Judge(self._of_weights.borders_of, self._rows, self._plan.score)

    @cached_property
    def _weights(self) -> tuple[list[Answer], float, float | None]:
        """What the weights answer, the CPU seconds that it took, and their score."""
        answers, cpu_s = _timed(self._of_weights, self._texts)
        return answers, cpu_s, None if self._judge is None or not self._rows else self._judge.score(self._of_weights, self._rows)

    def _open(self, variant: Variant, folder: Path) -> TokenClassifier:
        hardware, description = self._plan.hardware, describe(self._output)
        model, tokenizer = open_weights(self._output)
        if variant.runtime in (WEIGHTS, COMPILED):
            graph = by_torch(model, Compute(hardware.device, variant.precision), compiled=variant.runtime == COMPILED)
        else:
            graph = open_written(variant, folder, hardware.compute, threads=hardware.threads)
        return TokenClassifier(
            graph, tokenizer, LabelSet.read(self._output), Used(variant.name),
            max_tokens=description.input.max_tokens or tokenizer.model_max_length,
        )  # fmt: skip


def _timed(model: TokenClassifier, texts: Sequence[str]) -> tuple[list[Answer], float]:
    model.predict(list(texts[:2]))  # the first call prepares
    began = time.process_time()
    return model.predict(list(texts)), time.process_time() - began
