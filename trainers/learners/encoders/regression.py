"""Numbers in named dimensions: a tuned encoder, and a ridge regression solved on all rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from config.errors import RunFailedError
from config.kinds.regression.dimensions import VALUES, score_of, tier_of
from config.tasks import TaskSpec
from perennial_artifact.blocks.features import named
from perennial_artifact.compute import Compute
from perennial_artifact.description import Description, Input, describe, versions_of
from perennial_artifact.predictor import Answer, Predictor
from perennial_artifact.sentence.encoder import save_encoder
from perennial_artifact.sentence.head import Features, Solved
from perennial_artifact.sentence.layout import BLOCKS_REGRESSION_FORMAT, REGRESSION_FORMAT, WITH_NUMBERS
from perennial_artifact.sentence.numbers import Measured, NumberHead
from trainers.learners.encoders import encoder as encoders
from trainers.learners.encoders.base_block import base_beside
from trainers.learners.encoders.distilling import unlabelled_features, with_numbers
from trainers.learners.encoders.encoder import TextEncoder, Tuned
from trainers.learners.encoders.fine_tuning import Row
from trainers.learners.encoders.losses.numbers import loss_of
from trainers.learners.encoders.slow_run import (
    as_it_was,
    champion_of,
    features_of_rows,
    opened,
    read_now,
    stored,
    tune,
    with_note,
)
from trainers.learners.heads.blocks import apart, read
from trainers.learners.heads.solving import Floats, Matrix
from trainers.learners.opening import usable as usable_model
from trainers.learners.protocols import Aligner, Example, TrainingPlan, TrainingStep
from trainers.learners.ridge.blocks import note_compared
from trainers.learners.ridge.choosing import Choice, build, choice_of, choose
from trainers.learners.ridge.rows import Usable, matrix, number_rows, usable
from trainers.learners.ridge.soft import taught_numbers
from trainers.learners.ridge.solving import Map, solve
from trainers.learners.ridge.starting import NumberStart, ways
from trainers.learners.starting import where_to_start
from trainers.learners.taught import Taught
from trainers.learners.tried import Tried

_MOST_SAMPLED = 640


class RegressionLearner:
    """Learns numbers: tunes the encoder where that pays, then solves the head on all rows."""

    learns_from_all = True

    def train(self, plan: TrainingPlan, output: Path) -> None:
        """Tune the champion's encoder, or the base model's in a full or first run, solve the head and write a model folder.

        Raises `RunFailedError` when no row has a number, `UserError` when the base model cannot be loaded; out-of-memory errors
        pass through.
        """
        champion, found = champion_of(plan), usable(plan)
        plan = apart(plan, champion)
        rows = found.rows
        head_before = _head_of(champion)
        before = Choice() if head_before is None else choice_of(head_before)
        # What a champion of another format knows of itself is nothing.
        solved = None if champion is None else Solved() if head_before is None else head_before.solved
        start = where_to_start(plan, rows, before, solved, ways(plan, found.dimensions))
        note_compared(plan, rows, found.dimensions, start.choice or before)
        encoder = opened(plan, champion if start.from_champion else None)
        tokenised, cut = encoder.read([row.text for row in rows])
        report = with_note(plan.report, found.note, cut=sum(cut))
        about = _tune(plan, encoder, found, tokenised, start, before, report) if start.tune else as_it_was(solved, start, report)
        max_tokens = encoder.max_tokens
        save_encoder(encoder.pooled, encoder.tokenizer, output, max_tokens=max_tokens)
        beside = base_beside(plan, encoder, rows, output, tuned=start.tune)
        features = features_of_rows(plan, encoder, rows, tokenised, stored(plan, start))
        blocks = named(plan.spec.training.feature_blocks, base_columns=None if beside is None else beside.shape[1])
        features = features if beside is None else np.hstack([features, beside])
        unlabelled = unlabelled_features(plan, encoder) if start.tune and blocks is None else None
        head = _solve(plan, found, read(features, [row.text for row in rows], blocks), start, before, about, unlabelled)
        head.write(output)
        if blocks is not None:
            blocks.write(output)
        Description(
            kind=plan.spec.kind, backend=plan.spec.backend, base=plan.spec.base_model,
            format=REGRESSION_FORMAT if blocks is None else BLOCKS_REGRESSION_FORMAT,
            labels=tuple(one.name for one in head.dimensions),
            input=Input(max_tokens=max_tokens), libraries=versions_of("torch", "transformers", "scikit-learn"),
        ).write(output)  # fmt: skip

    def has_more_to_learn(self, champion: Path) -> bool:
        """Return whether the champion's head knows rows that its encoder was not tuned on."""
        with usable_model():
            return describe(champion).format in WITH_NUMBERS and NumberHead.read(champion).solved.refreshes > 0

    def aligner(self, model: Predictor) -> Aligner:  # noqa: ARG002 - a number is a number
        """Return what leaves numbers as they are."""
        return lambda text, targets: targets  # noqa: ARG005 - see above

    def baseline(self, spec: TaskSpec, rows: Sequence[Example]) -> Predictor:
        """Return what a first model must beat.

        `majority`: the mean of each dimension over `rows`. `base`: a ridge regression on the untouched base model's features of
        the newest 2,000 rows. Raises `RunFailedError` when there are no rows.
        """
        if not rows:
            message = f"task {spec.name!r} has no training rows to make its baseline from; send some first"
            raise RunFailedError(message)
        return BaseRidge(spec, rows) if spec.promotion.baseline == "base" else MeanOfEach(spec, rows)


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


def _head_of(champion: Path | None) -> NumberHead | None:
    """Return the champion's head; None without one that gives numbers."""
    if champion is None:
        return None
    with usable_model():
        return NumberHead.read(champion) if describe(champion).format in WITH_NUMBERS else None


def _tune(  # noqa: PLR0917 - all of them are what one run has
    plan: TrainingPlan, encoder: TextEncoder, found: Usable, tokenised: Sequence[Sequence[int]], start: NumberStart,
    before: Choice, report: Callable[[TrainingStep], None],
) -> Solved:  # fmt: skip
    """Tune the encoder in place, on numbers brought to 0..1; return what the head is to say of it."""
    chosen = [at for at, row in enumerate(found.rows) if plan.to_tune is None or row.example_id in plan.to_tune]
    scaled = _scaled(matrix([found.rows[at] for at in chosen], found.dimensions), found.dimensions)
    learning = [Row(tokenised[at], numbers, found.rows[at].weight) for at, numbers in zip(chosen, scaled.tolist(), strict=True)]
    model = Tuned(encoder.pooled, len(found.dimensions), encoders.width(encoder.pooled))
    _begin_head(model.head, start.head or _sampled_head(plan, encoder, found, tokenised, chosen, before), found.dimensions)
    examples, taught = [found.rows[at] for at in chosen], plan.taught
    lessons = with_numbers(taught, encoder, learning, examples, _said(taught, examples, found.dimensions))
    return tune(
        plan, encoder, model, lessons.rows, lessons.examples,
        answerable=range(len(found.dimensions)), from_base=not start.from_champion,
        depends_on=(found.dimensions, plan.spec.training.loss, taught and taught.key), report=report,
        loss=loss_of(plan.spec.training.loss, [one.weight for one in found.dimensions]),
    )  # fmt: skip


def _scaled(values: Floats, dimensions: Sequence[Measured]) -> Floats:
    low, high = (np.array([getattr(one, edge) for one in dimensions]) for edge in ("low", "high"))
    found: Floats = (values - low) / (high - low)
    return found


def _sampled_head(  # noqa: PLR0917 - as above
    plan: TrainingPlan, encoder: TextEncoder, found: Usable, tokenised: Sequence[Sequence[int]], chosen: Sequence[int],
    choice: Choice,
) -> Map:  # fmt: skip
    """Return a head to tune with, solved on up to 640 of the rows, spread evenly over them."""
    sample = chosen[:: -(-len(chosen) // _MOST_SAMPLED)]
    plan.tell(f"reading {len(sample)} rows for a head to begin with")
    features = read_now(encoder, [tokenised[place] for place in sample])
    rows = [found.rows[place] for place in sample]
    weights = np.array([row.weight for row in rows], dtype=np.float64)
    return solve(features, matrix(rows, found.dimensions), weights, strength=choice.strength)


def _begin_head(head: nn.Linear, start: Map, dimensions: Sequence[Measured]) -> None:
    """Set the head that is tuned along: the map of `start`, giving numbers from 0 to 1."""
    low, high = (np.array([getattr(one, edge) for one in dimensions], dtype=np.float32) for edge in ("low", "high"))
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(start.weight / (high - low)[:, None]))
        head.bias.copy_(torch.from_numpy((start.bias - low) / (high - low)))


def _said(taught: Taught | None, examples: Sequence[Example], dimensions: Sequence[Measured]) -> Features:
    """Return what a teacher says of rows and of its texts without gold, brought to 0..1; nothing without one."""
    if taught is None:
        return np.empty((0, len(dimensions)), dtype=np.float32)
    said = taught.of([*examples, *taught.unlabelled], [one.name for one in dimensions])
    return _scaled(said.astype(np.float64), dimensions).astype(np.float32)


def _solve(  # noqa: PLR0917 - as above
    plan: TrainingPlan, found: Usable, features: Matrix, start: NumberStart, before: Choice, about: Solved,
    unlabelled: Features | None,
) -> NumberHead:  # fmt: skip
    """Return the head on all rows; how it is solved was chosen on features that have not seen the rows, where there are any."""
    seen, loss, taught = number_rows(found.rows, features, found.dimensions), plan.spec.training.loss, plan.taught
    choice = start.choice
    if choice is None:
        choice = before if start.tune else choose(seen, before, plan.note_tried)
    began = time.process_time()
    if taught is not None:
        seen = taught_numbers(seen, found.rows, taught, unlabelled)
    head = build(seen, choice, loss, plan.spec.tiers, about)
    plan.note_tried(Tried(name=f"solved: {choice.name}", scores={}, cpu_s=time.process_time() - began, chosen=True))
    return head
