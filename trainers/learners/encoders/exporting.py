"""The variant of a sentence encoder: judged by heads that are fitted on older rows and asked about newer ones."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from config.errors import RunFailedError
from perennial_artifact.compute import Compute, Used
from perennial_artifact.sentence.encoder import SentenceEncoder, by_torch, open_pooled
from perennial_artifact.variants.note import Variant
from perennial_artifact.variants.runtimes import COMPILED, WEIGHTS
from trainers.export.choosing import Judged
from trainers.export.writing import open_written
from trainers.learners import exporting
from trainers.learners.encoders.encoder import TextEncoder
from trainers.learners.features import Features, alike
from trainers.learners.heads.rows import days_of
from trainers.learners.protocols import Example, TrainingPlan
from trainers.learners.starting import Ways

_STEADY = ("accuracy", "micro_f1", "scaled_error")
"""The scores that a loss is read from: others, such as macro F1, differ by chance on some hundred rows."""
_ERRORS = frozenset({"scaled_error"})


def exported(  # noqa: PLR0917 - what a slow run has by then
    plan: TrainingPlan, encoder: TextEncoder, output: Path, rows: Sequence[Example], tokenised: Sequence[Sequence[int]],
    ways: Ways[Any, Any, Any], choice: object, *, champion: Path | None,
) -> TextEncoder:  # fmt: skip
    """Return the encoder as the model in `output` will be served: by a variant where the task wishes for one, and it is good.

    `champion` is the one whose encoder goes on as it was. Call it when the weights are saved: they may move from here on.
    """
    if not exporting.is_wished(plan):
        return encoder
    sample = _sample(rows)
    if not sample:
        return encoder
    judge = _Judge(plan, encoder, output, [rows[at] for at in sample], [tokenised[at] for at in sample], ways, choice)
    variant = exporting.export(plan, output, [tokenised[at] for at in sample], judge, champion=champion)
    if variant is None:
        return encoder
    if judge.opened is None or judge.opened.used.name != variant.name:
        return replace(encoder, exported=_open(plan, variant, output, output, encoder))
    return replace(encoder, exported=judge.opened)


@dataclass(slots=True)
class _Judge:
    plan: TrainingPlan
    encoder: TextEncoder
    output: Path
    rows: Sequence[Example]
    tokenised: Sequence[Sequence[int]]
    ways: Ways[Any, Any, Any]
    choice: object
    weights: tuple[Features, float] | None = None
    """What the weights make of the rows, and the CPU seconds they took."""
    opened: SentenceEncoder | None = None
    """The variant that was judged last."""

    def __call__(self, variant: Variant, folder: Path) -> Judged:
        if self.weights is None:
            self.weights = _timed(self.encoder.as_served(self.plan.hardware.compute), self.tokenised)
        theirs, their_s = self.weights
        self.opened = _open(self.plan, variant, folder, self.output, self.encoder)
        ours, our_s = _timed(self.opened, self.tokenised)
        if not np.isfinite(ours).all():
            message = "it computes numbers that are not finite"
            raise RunFailedError(message)
        days = days_of(self.rows)
        found = self.ways.compare(
            self.ways.rows(self.rows, theirs), self.ways.rows(self.rows, ours), self.choice, float(np.median(days))
        )
        speed = their_s / max(our_s, 1e-9)
        if found is None:
            return Judged(None, alike(ours, theirs), speed)
        before, after = found[0].scores, found[1].scores
        lost = loss(before, after)
        scores = {name: after[name] for name in after if name in _STEADY}
        newer = int((days > np.median(days)).sum())
        told = ", ".join(f"{name} {before[name]:.4f} -> {after[name]:.4f}" for name in scores)
        return Judged(lost, alike(ours, theirs), speed, scores, f"{told} on {newer} newer rows")


def loss(before: Mapping[str, float], after: Mapping[str, float]) -> float | None:
    """Return how much worse the second scores are, the largest loss among those that are steady; None where there is none."""
    lost = [(after[name] - before[name]) * (1 if name in _ERRORS else -1) for name in _STEADY if name in before and name in after]
    return max(lost, default=None)


def _open(plan: TrainingPlan, variant: Variant, folder: Path, output: Path, encoder: TextEncoder) -> SentenceEncoder:
    hardware = plan.hardware
    if variant.runtime in (WEIGHTS, COMPILED):
        pooled, _tokenizer = open_pooled(output)
        graph = by_torch(pooled, Compute(hardware.device, variant.precision), compiled=variant.runtime == COMPILED)
    else:
        graph = open_written(variant, folder, hardware.compute, threads=hardware.threads)
    return SentenceEncoder(graph, encoder.tokenizer, Used(variant.name), max_tokens=encoder.max_tokens)


def _timed(encoder: SentenceEncoder, tokenised: Sequence[Sequence[int]]) -> tuple[Features, float]:
    encoder.features_of(tokenised[:2])  # the first call prepares
    began = time.process_time()
    return encoder.features_of(tokenised), time.process_time() - began


def _sample(rows: Sequence[Example]) -> list[int]:
    """Return the numbers of the rows in order of time, every n-th of them where they are many."""
    order: list[int] = np.argsort(days_of(rows), kind="stable").tolist()
    return order[:: -(-len(order) // exporting.MOST_JUDGED)] if order else order
