"""What every slow run on an encoder has in common, whatever its head gives."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from perennial_artifact.description import describe
from trainers.learners.encoders.encoder import TextEncoder
from trainers.learners.encoders.fine_tuning import Recipe
from trainers.learners.encoders.stored import features_of
from trainers.learners.features import Features, FeatureSet
from trainers.learners.opening import usable as usable_model
from trainers.learners.protocols import Example, TrainingPlan, TrainingStep
from trainers.learners.tried import Tried

_LOG = structlog.get_logger(__name__)


def champion_of(plan: TrainingPlan) -> Path | None:
    """Return the model to go on from, unless there is none, all is learnt anew, or the task's base model has changed since."""
    if plan.full or plan.warm_start is None:
        return None
    with usable_model():
        base = describe(plan.warm_start).base
    if base == plan.spec.base_model:
        return plan.warm_start
    _LOG.info("base_model_changed", task=plan.spec.name, champion=base, now=plan.spec.base_model, next="from base")
    return None


def with_note(report: Callable[[TrainingStep], None], note: str, *, cut: int) -> Callable[[TrainingStep], None]:
    """Put `note` on the first step reported, and on every one how many texts were cut."""
    waiting = [note] if note else []
    return lambda step: report(replace(step, texts_cut=cut, message=waiting.pop() if waiting else step.message))


def features_of_rows(
    plan: TrainingPlan,
    encoder: TextEncoder,
    rows: Sequence[Example],
    tokenised: Sequence[Sequence[int]],
    stored: FeatureSet | None,
) -> Features:
    """Return what the encoder that will be served makes of the rows; what is `stored` of it may serve."""
    plan.tell(f"reading {len(rows)} rows with the encoder that will be served")
    began = time.process_time()
    ids = [row.example_id for row in rows]
    features, computed = features_of(encoder.as_served(plan.hardware.compute), ids, tokenised, stored)
    what = "all rows" if computed == len(rows) else f"{computed} of {len(rows)} rows"
    plan.note_tried(Tried(name=f"features of {what} computed", scores={}, cpu_s=time.process_time() - began, chosen=True))
    plan.keep_features(FeatureSet.of(ids, features))
    return features


def recipe_of(plan: TrainingPlan, rows: int, *, from_base: bool) -> Recipe:
    """Return how a run tunes on so many rows."""
    training = plan.spec.training
    epochs, most = (training.full_epochs, training.full_tuning_rows) if from_base else (training.epochs, training.tuning_rows)
    return Recipe(
        # Few rows need another pass, many do not.
        epochs=max(1, min(epochs, most // rows)),
        learning_rate=training.full_learning_rate if from_base else training.learning_rate,
        batch_size=plan.batch_size,
        seed=plan.seed,
        hardware=plan.hardware,
        accumulation=training.gradient_accumulation,
    )
