"""How an encoder is tuned where a teacher has answered: rows carry gold and its answers, and the loss weighs both.

Where one label is right the cross entropy of both models' probabilities at a temperature counts beside that of gold, multiplied
by the square of the temperature, so that its gradient does not shrink (Hinton, Vinyals and Dean, arXiv 1503.02531). Where several
may be, the same of each label by itself. Numbers are a mean of gold and of the teacher's. Signals are both: scores are numbers,
and in each category one tag is right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from config.kinds.signals.categories import label_of
from perennial_artifact.sentence.head import Features
from trainers.learners.encoders.encoder import TextEncoder
from trainers.learners.encoders.fine_tuning import Row
from trainers.learners.encoders.losses.signals import loss_of as signals_loss_of
from trainers.learners.encoders.losses.signals import taught_loss_of as taught_signals_loss_of
from trainers.learners.heads.solving import Floats
from trainers.learners.protocols import Example, TrainingPlan
from trainers.learners.ridge.soft import mixed
from trainers.learners.ridge.solving import Loss as NumberLoss
from trainers.learners.signals.rows import Shown
from trainers.learners.signals.soft import LEAST_TOLD
from trainers.learners.taught import Taught

Loss = Callable[[Tensor, Tensor], Tensor]
_LEAST = 1e-6
"""Probabilities are kept this far from 0 and 1 before their logarithm is taken."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """What a tuning learns from."""

    rows: Sequence[Row]
    examples: Sequence[Example]
    """Those of the rows."""
    loss: Loss | None
    """None: as without a teacher."""


def with_labels(  # noqa: PLR0917 - all of them are what one tuning has
    taught: Taught | None, encoder: TextEncoder, rows: Sequence[Row], examples: Sequence[Example], labels: Sequence[str],
    answerable: Sequence[int],
) -> Lessons:  # fmt: skip
    """Return the rows of `examples` with what the teacher says of each label, and its texts without gold."""
    if taught is None:
        return Lessons(rows, examples, None)
    several = bool(rows) and not isinstance(rows[0].label, int)
    more = [*examples, *taught.unlabelled]
    said = taught.of(more, labels)
    made = _of_several(taught, rows, said) if several else _of_one(taught, rows, said)
    texts = _read(taught, encoder)
    tokens = [*(row.input_ids for row in rows), *texts]
    weights = [1.0 if several else row.weight for row in rows] + [row.weight for row in taught.unlabelled]
    kept = [Row(ids, label, weight) for ids, label, weight in zip(tokens, made, weights, strict=True)]
    closed = torch.ones(len(labels), dtype=torch.bool)
    closed[list(answerable)] = False
    loss = _loss_of_several(taught.temperature, closed) if several else _loss_of_one(taught.temperature, closed)
    return Lessons(kept, more, loss)


def with_numbers(
    taught: Taught | None, encoder: TextEncoder, rows: Sequence[Row], examples: Sequence[Example], said: Features
) -> Lessons:
    """Return the rows of `examples` with a mean of gold and the teacher's numbers, and its texts without gold.

    `said` are its numbers on the scale of gold, shape (examples and texts, dimensions).
    """
    if taught is None:
        return Lessons(rows, examples, None)
    gold = np.array([row.label for row in rows], dtype=np.float64).reshape(len(rows), said.shape[1])
    both = [*mixed(gold, said[: len(rows)].astype(np.float64), taught.share).tolist(), *said[len(rows) :].tolist()]
    tokens = [*(row.input_ids for row in rows), *_read(taught, encoder)]
    weights = [*(row.weight for row in rows), *(row.weight for row in taught.unlabelled)]
    kept = [Row(*each) for each in zip(tokens, both, weights, strict=True)]
    return Lessons(kept, [*examples, *taught.unlabelled], None)


def with_signals(  # noqa: PLR0917 - as above
    taught: Taught | None, encoder: TextEncoder, rows: Sequence[Row], examples: Sequence[Example], shown: Shown, loss: NumberLoss
) -> Lessons:
    """Return the rows of `examples` with what the teacher says of each category's score and tags, and its texts without gold."""
    sizes = [len(tags) for _name, tags in shown.categories]
    if taught is None:
        return Lessons(rows, examples, signals_loss_of(loss, sizes))
    more, count = [*examples, *taught.unlabelled], len(sizes)
    gold = np.full((len(more), 2 * count), np.nan)
    gold[: len(rows)] = np.array([row.label for row in rows], dtype=np.float64).reshape(-1, 2 * count)
    said = (taught.of(more, [one.name for one in shown.measured]).astype(np.float64) + 1.0) / 2.0
    softened = np.hstack([
        _softened(taught.of(more, [label_of(name, tag) for tag in tags]), gold[:, count + at], taught.temperature)
        for at, (name, tags) in enumerate(shown.categories)
    ])  # fmt: skip
    share = np.full((len(more), 1), taught.share)
    made = np.hstack([mixed(gold[:, :count], said, taught.share), gold[:, count:], share, softened]).tolist()
    tokens = [*(row.input_ids for row in rows), *_read(taught, encoder)]
    weights = [*(row.weight for row in rows), *(row.weight for row in taught.unlabelled)]
    kept = [Row(*each) for each in zip(tokens, made, weights, strict=True)]
    return Lessons(kept, more, taught_signals_loss_of(loss, sizes, taught.temperature))


def _softened(said: Features, gold: Floats, temperature: float) -> Floats:
    """Return a teacher's probabilities of a category's tags at the temperature, shape (rows, tags); 0 where it says nothing.

    `gold` (rows) is the place of a tag, or not a number. The teacher says nothing where that is a tag that it does not know, and
    where it holds others than these tags more probable: what it leaves for these would be drawn up to all.
    """
    known = np.nan_to_num(said.astype(np.float64))
    says = known.sum(axis=1) >= LEAST_TOLD
    told = ~np.isnan(gold)
    says[told] &= np.isfinite(said[told, gold[told].astype(np.intp)])
    softened: Floats = np.power(known, 1.0 / temperature) * says[:, None]
    found: Floats = softened / np.maximum(softened.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return found


def unlabelled_features(plan: TrainingPlan, encoder: TextEncoder) -> Features | None:
    """Return what the encoder that will be served makes of a teacher's texts without gold; None where there are none."""
    if plan.taught is None or not plan.taught.unlabelled:
        return None
    return encoder.as_served(plan.hardware.compute).features_of(_read(plan.taught, encoder))


def _read(taught: Taught, encoder: TextEncoder) -> list[list[int]]:
    return encoder.read([row.text for row in taught.unlabelled])[0] if taught.unlabelled else []


def _of_one(taught: Taught, rows: Sequence[Row], said: Features) -> list[list[float]]:
    """Return for each text: the id of its gold (-1: none), what the teacher counts, and its probabilities at the temperature."""
    softened = np.nan_to_num(np.power(np.nan_to_num(said), 1.0 / taught.temperature))
    total = softened.sum(axis=1, keepdims=True)
    softened = softened / np.where(total > 0, total, 1.0)
    gold = np.array([row.label for row in rows] + [-1] * (len(said) - len(rows)))
    # What a teacher says of a text whose label it does not know is nothing.
    knows = np.isfinite(said[np.arange(len(said)), np.maximum(gold, 0)]) | (gold < 0)
    share = np.where(gold < 0, 1.0, taught.share) * (knows & (total[:, 0] > 0))
    made: list[list[float]] = np.column_stack([gold, share, softened]).tolist()
    return made


def _loss_of_one(temperature: float, closed: Tensor) -> Loss:
    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        gold, share, said = targets[:, 0].long(), targets[:, 1], targets[:, 2:]
        logits = logits.masked_fill(closed.to(logits.device), -torch.inf)
        plain = -logits.log_softmax(dim=-1).gather(1, gold.clamp_min(0)[:, None])[:, 0]
        plain = torch.where(gold >= 0, plain, torch.zeros_like(plain))
        soft = (logits / temperature).log_softmax(dim=-1)
        # Of what may not be answered the logarithm is infinite, and the teacher's probability counts for nothing.
        apart = -(said * torch.where(torch.isfinite(soft), soft, torch.zeros_like(soft))).sum(dim=-1)
        return (1.0 - share) * plain + share * temperature**2 * apart

    return loss


def _of_several(taught: Taught, rows: Sequence[Row], said: Features) -> list[list[float]]:
    """Return for each text: what the teacher counts, then of each label gold, the teacher's probability and the weight.

    Below 0: not known. The probability is at the temperature.
    """
    labels = said.shape[1]
    gold = np.full(said.shape, -1.0)
    weight = np.ones(said.shape)
    if rows:
        gold[: len(rows)] = np.array([row.label for row in rows], dtype=np.float64).reshape(-1, labels)
        weight[: len(rows)] = np.array([np.broadcast_to(row.weight, labels) for row in rows])
    clipped = np.clip(said.astype(np.float64), _LEAST, 1.0 - _LEAST)
    softened = 1.0 / (1.0 + np.exp(-(np.log(clipped) - np.log1p(-clipped)) / taught.temperature))
    softened = np.where(np.isnan(said), -1.0, softened)
    share = np.where(np.arange(len(said)) < len(rows), taught.share, 1.0)
    made: list[list[float]] = np.column_stack([share, gold, softened, weight]).tolist()
    return made


def _loss_of_several(temperature: float, closed: Tensor) -> Loss:
    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        share, (gold, said, weight) = targets[:, 0], targets[:, 1:].chunk(3, dim=1)
        learnt = ~closed.to(logits.device)
        # Where the teacher says nothing of a label, gold counts whole; where gold does not, the teacher.
        of_gold = torch.where(said >= 0, 1.0 - share[:, None], torch.ones_like(said)) * (gold >= 0) * learnt
        of_said = torch.where(gold >= 0, share[:, None], torch.ones_like(said)) * (said >= 0) * learnt
        plain = binary_cross_entropy_with_logits(logits, gold.clamp(0, 1), reduction="none")
        soft = binary_cross_entropy_with_logits(logits / temperature, said.clamp(0, 1), reduction="none")
        each = weight * (of_gold * plain + of_said * temperature**2 * soft)
        known = ((gold >= 0) | (said >= 0)) & learnt
        return each.sum(dim=1) / known.sum(dim=1).clamp_min(1)

    return loss
