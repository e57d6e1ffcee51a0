"""Numbers in named dimensions: a tuned encoder, and a ridge regression solved on all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from config.kinds.regression.dimensions import VALUES, score_of, tier_of
from config.tasks import TaskSpec
from perennial_artifact.compute import Compute
from perennial_artifact.predictor import Answer, Predictor
from perennial_artifact.sentence.head import Features, Solved
from perennial_artifact.sentence.layout import BLOCKS_REGRESSION_FORMAT, REGRESSION_FORMAT, WITH_NUMBERS
from perennial_artifact.sentence.numbers import Measured, NumberHead
from trainers.learners.encoders import encoder as encoders
from trainers.learners.encoders.distilling import with_numbers
from trainers.learners.encoders.encoder import TextEncoder
from trainers.learners.encoders.fine_tuning import Row
from trainers.learners.encoders.losses.numbers import loss_of
from trainers.learners.encoders.slow.heads import Seen, Solution, Tuning, known_of, read_from
from trainers.learners.encoders.slow.order import as_they_are, learn, more_to_learn, refuse_no_rows
from trainers.learners.encoders.slow.steps import sampled, to_tune
from trainers.learners.heads.solving import Floats
from trainers.learners.protocols import Aligner, Example, TrainingPlan
from trainers.learners.ridge.blocks import note_compared
from trainers.learners.ridge.choosing import Choice, build, choice_of
from trainers.learners.ridge.rows import NumberRows, Usable, matrix, number_rows, usable
from trainers.learners.ridge.soft import taught_numbers
from trainers.learners.ridge.solving import Map, solve
from trainers.learners.ridge.starting import NumberStart, ways
from trainers.learners.starting import Ways
from trainers.learners.taught import Taught


class RegressionLearner:
    """Learns numbers: tunes the encoder where that pays, then solves the head on all rows."""

    learns_from_all = True

    def train(self, plan: TrainingPlan, output: Path) -> None:
        """Learn as `order.learn`. Raises `RunFailedError` when no row has a number."""
        learn(plan, output, _Numbers.of)

    def has_more_to_learn(self, champion: Path) -> bool:
        """Return whether the champion's head knows rows that its encoder was not tuned on."""
        return more_to_learn(champion, WITH_NUMBERS)

    def aligner(self, model: Predictor) -> Aligner:  # noqa: ARG002 - a number is a number
        """Return what leaves numbers as they are."""
        return as_they_are

    def baseline(self, spec: TaskSpec, rows: Sequence[Example]) -> Predictor:
        """Return what a first model must beat.

        `majority`: the mean of each dimension over `rows`. `base`: a ridge regression on the untouched base model's features of
        the newest 2,000 rows. Raises `RunFailedError` when there are no rows.
        """
        refuse_no_rows(spec, rows, "some")
        return BaseRidge(spec, rows) if spec.promotion.baseline == "base" else MeanOfEach(spec, rows)


@dataclass(frozen=True, slots=True)
class _Numbers:
    """A head of numbers in one slow run."""

    plan: TrainingPlan
    found: Usable
    before: Choice
    known: Solved | None

    @classmethod
    def of(cls, plan: TrainingPlan, champion: Path | None) -> _Numbers:
        found, head = usable(plan), read_from(champion, WITH_NUMBERS, NumberHead.read)
        return cls(
            plan, found, Choice() if head is None else choice_of(head), known_of(champion, None if head is None else head.solved)
        )

    @property
    def rows(self) -> Sequence[Example]:
        return self.found.rows

    @property
    def note(self) -> str:
        return self.found.note

    @property
    def ways(self) -> Ways[NumberRows, Choice, Map]:
        return ways(self.plan, self.found.dimensions)

    def started(self, start: NumberStart) -> None:
        note_compared(self.plan, self.rows, self.found.dimensions, start.choice or self.before)

    def tuning(self, encoder: TextEncoder, tokenised: Sequence[Sequence[int]], start: NumberStart) -> Tuning:
        """Return numbers brought to 0..1."""
        plan, dimensions, chosen = self.plan, self.found.dimensions, to_tune(self.plan, self.rows)
        examples, taught, loss = [self.rows[at] for at in chosen], plan.taught, plan.spec.training.loss
        told = zip(chosen, _scaled(matrix(examples, dimensions), dimensions).tolist(), examples, strict=True)
        rows = [Row(tokenised[at], numbers, row.weight) for at, numbers, row in told]
        lessons = with_numbers(taught, encoder, rows, examples, _said(taught, examples, dimensions))
        head = start.head or self._begun(encoder, tokenised, chosen)
        return Tuning(
            len(dimensions), partial(_begin, start=head, dimensions=dimensions), lessons.rows, lessons.examples,
            answerable=range(len(dimensions)), depends_on=(dimensions, loss, taught and taught.key),
            loss=loss_of(loss, [one.weight for one in dimensions]), answers=partial(_answers, dimensions=dimensions),
        )  # fmt: skip

    def _begun(self, encoder: TextEncoder, tokenised: Sequence[Sequence[int]], chosen: Sequence[int]) -> Map:
        """Return a head to tune with, solved on a sample of the rows."""
        sample, features = sampled(self.plan, encoder, chosen, tokenised)
        rows = [self.rows[at] for at in sample]
        weights = np.array([row.weight for row in rows], dtype=np.float64)
        return solve(features, matrix(rows, self.found.dimensions), weights, strength=self.before.strength)

    def read(self, seen: Seen, start: NumberStart) -> NumberRows:  # noqa: ARG002 - the same however a run began
        return number_rows(self.rows, seen.matrix, self.found.dimensions)

    def settled(self, choice: Choice) -> Choice:
        return choice

    def solve(self, rows: NumberRows, choice: Choice, about: Solved, unlabelled: Features | None) -> Solution:
        spec, taught = self.plan.spec, self.plan.taught
        if taught is not None:
            rows = taught_numbers(rows, self.rows, taught, unlabelled)
        head = build(rows, choice, spec.training.loss, spec.tiers, about)
        return Solution(head, tuple(one.name for one in head.dimensions))

    def format(self, *, blocks: bool) -> str:
        return BLOCKS_REGRESSION_FORMAT if blocks else REGRESSION_FORMAT


def _scaled(values: Floats, dimensions: Sequence[Measured]) -> Floats:
    low, high = (np.array([getattr(one, edge) for one in dimensions]) for edge in ("low", "high"))
    found: Floats = (values - low) / (high - low)
    return found


def _begin(head: nn.Linear, start: Map, dimensions: Sequence[Measured]) -> None:
    """Set the head that is tuned along: the map of `start`, giving numbers from 0 to 1."""
    low, high = (np.array([getattr(one, edge) for one in dimensions], dtype=np.float32) for edge in ("low", "high"))
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(start.weight / (high - low)[:, None]))
        head.bias.copy_(torch.from_numpy((start.bias - low) / (high - low)))


def _answers(outputs: Features, dimensions: tuple[Measured, ...]) -> list[Answer]:
    """Return what numbers from 0 to 1 answer."""
    low, high = (np.array([getattr(one, edge) for one in dimensions], dtype=np.float32) for edge in ("low", "high"))
    return NumberHead(np.diag(high - low), low, dimensions).answers(outputs, [False] * len(outputs))


def _said(taught: Taught | None, examples: Sequence[Example], dimensions: Sequence[Measured]) -> Features:
    """Return what a teacher says of rows and of its texts without gold, brought to 0..1; nothing without one."""
    if taught is None:
        return np.empty((0, len(dimensions)), dtype=np.float32)
    said = taught.of([*examples, *taught.unlabelled], [one.name for one in dimensions])
    return _scaled(said.astype(np.float64), dimensions).astype(np.float32)


class MeanOfEach:
    """Answers the mean of each dimension over the training rows."""

    def __init__(self, spec: TaskSpec, rows: Sequence[Example]) -> None:
        means = {}
        for dimension in spec.dimensions:
            known = [row.target[VALUES][dimension.name] for row in rows if dimension.name in row.target[VALUES]]
            if known:
                means[dimension.name] = float(np.mean(known))
        self._answer: Answer = {"values": means}
        score = score_of(means, {dimension.name: dimension.weight for dimension in spec.dimensions})
        if spec.tiers and score is not None:
            self._answer = {**self._answer, "score": score, "tier": tier_of(score, spec.tiers)}

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return the same answer for every text."""
        return [self._answer for _ in texts]


class BaseRidge:
    """The base model as it came, and a ridge regression on its features of the newest training rows."""

    _MOST_ROWS = 2_000

    def __init__(self, spec: TaskSpec, rows: Sequence[Example]) -> None:
        newest = sorted(rows, key=lambda row: row.event_time)[-self._MOST_ROWS :]
        seen = {name for row in newest for name in row.target[VALUES]}
        dimensions = tuple(Measured(one.name, one.low, one.high, one.weight) for one in spec.dimensions if one.name in seen)
        self._encoder = encoders.open_base(spec.base_model, max_tokens=spec.training.max_tokens).as_served(Compute())
        features, _cut = self._encoder.features([row.text for row in newest])
        choice = Choice(half_life_days=None)
        self._head = build(number_rows(newest, features, dimensions), choice, "mse", spec.tiers, Solved())

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return one answer per text, in order."""
        return self._head.answers(*self._encoder.features(texts)) if texts else []
