"""The fast clock of a regression: its head solved anew on stored features. The encoder stays; no torch is loaded."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from config.errors import RunFailedError
from perennial_artifact.description import Description, describe
from perennial_artifact.predictor import Predictor
from perennial_artifact.sentence.layout import REGRESSION_FORMAT
from perennial_artifact.sentence.numbers import NumberHead
from trainers.learners.features import FeatureSet
from trainers.learners.heads.links import link_encoder
from trainers.learners.heads.stored import FromFeatures
from trainers.learners.opening import usable as usable_model
from trainers.learners.protocols import TrainingPlan, TrainingStep
from trainers.learners.ridge.choosing import build, choice_of, choose
from trainers.learners.ridge.rows import number_rows, usable
from trainers.learners.tried import Tried

_MOST_CHOSEN_ROWS = 20_000
"""With more rows a refresh solves as the champion was solved: choosing anew would take longer than the solving."""


class RidgeRefresh:
    """Solves the head of a regression on stored features."""

    def train(self, plan: TrainingPlan, output: Path) -> None:
        """Write the champion with a head solved on all rows whose features are stored.

        Raises `RunFailedError` when the champion is of another format, features are missing, or no row has a number.
        """
        folder, before, description = _champion(plan)
        found = usable(plan)
        stored = plan.champion_features
        known = [row for row in found.rows if stored is not None and row.example_id in stored]
        if stored is None or not known:
            message = "no features of the champion's encoder are stored for the rows; they are computed before the next run"
            raise RunFailedError(message)
        features = stored.rows([row.example_id for row in known])
        if features.shape[1] != before.weight.shape[1]:
            message = (
                f"the stored features have {features.shape[1]} numbers and the champion's head reads {before.weight.shape[1]}: "
                "they are another encoder's. The run fails; the next one computes them anew"
            )
            raise RunFailedError(message)
        note = found.note or (f"{len(found.rows) - len(known)} rows have no features yet" if len(known) < len(found.rows) else "")
        found = usable(replace(plan, rows=known))
        rows, loss = number_rows(known, features, found.dimensions), plan.spec.training.loss
        choice = choice_of(before)
        if len(rows) <= _MOST_CHOSEN_ROWS:
            choice = choose(rows, choice, plan.note_tried)
        began = time.process_time()
        about = replace(before.solved, refreshes=before.solved.refreshes + 1)
        head = build(rows, choice, loss, plan.spec.tiers, about)
        plan.note_tried(Tried(name=f"solved: {choice.name}", scores={}, cpu_s=time.process_time() - began, chosen=True))
        # The encoder's bytes are not to change.
        link_encoder(folder, output)
        head.write(output)
        replace(description, labels=tuple(one.name for one in head.dimensions)).write(output)
        plan.report(TrainingStep(step=1, steps=1, epoch=1.0, loss=0.0, examples_per_s=0.0, message=note))

    def open(self, folder: Path, features: FeatureSet, rows: Mapping[str, str]) -> Predictor:
        """Return a model that answers known texts from their stored features; `rows` is example id by text."""
        with usable_model():
            return FromFeatures(NumberHead.read(folder), features, rows)


def _champion(plan: TrainingPlan) -> tuple[Path, NumberHead, Description]:
    if plan.warm_start is None:
        message = "a refresh needs a champion, and there is none; ask for a full run"
        raise RunFailedError(message)
    with usable_model():
        description = describe(plan.warm_start)
        if description.format != REGRESSION_FORMAT:
            message = f"the champion's format is {description.format}, whose head gives no numbers; ask for a full run"
            raise RunFailedError(message)
        return plan.warm_start, NumberHead.read(plan.warm_start), description
