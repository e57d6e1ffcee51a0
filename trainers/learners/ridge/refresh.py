"""The fast clock of a regression: its head solved anew on stored features. The encoder stays; no torch is loaded."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from perennial_artifact.sentence.layout import WITH_NUMBERS
from perennial_artifact.sentence.numbers import NumberHead
from trainers.learners.heads.published.answering import blocks_of, read
from trainers.learners.heads.published.links import link_encoder
from trainers.learners.heads.published.stored import champion_of, known_rows, refuse_of_another
from trainers.learners.opening import usable as usable_model
from trainers.learners.protocols import TrainingPlan, TrainingStep
from trainers.learners.ridge.choosing import build, choice_of, choose
from trainers.learners.ridge.rows import number_rows, usable
from trainers.learners.tried import Tried

_MOST_CHOSEN_ROWS = 20_000
"""With more rows a refresh solves as the champion was solved: choosing anew would take longer than the solving."""
_MOST_CHOSEN_SPARSE = 4_000
"""The same with runs of words beside the encoder's features."""


class RidgeRefresh:
    """Solves the head of a regression on stored features."""

    def train(self, plan: TrainingPlan, output: Path) -> None:
        """Write the champion with a head solved on all rows whose features are stored.

        Raises `RunFailedError` when the champion is of another format, features are missing, or no row has a number.
        """
        folder, description = champion_of(plan, WITH_NUMBERS)
        with usable_model():
            before = NumberHead.read(folder)
        every = usable(plan)
        known, stored, note = known_rows(plan, every.rows)
        blocks = blocks_of(folder, description)
        features = read(stored.rows([row.example_id for row in known]), [row.text for row in known], blocks)
        refuse_of_another(features, before)
        note = every.note or note
        found = usable(replace(plan, rows=known)) if len(known) < len(every.rows) else every
        rows, loss = number_rows(known, features, found.dimensions), plan.spec.training.loss
        choice = choice_of(before)
        if len(rows) <= (_MOST_CHOSEN_ROWS if isinstance(features, np.ndarray) else _MOST_CHOSEN_SPARSE):
            choice = choose(rows, choice, plan.note_tried)
        began = time.process_time()
        about = replace(before.solved, refreshes=before.solved.refreshes + 1)
        head = build(rows, choice, loss, plan.spec.tiers, about)
        plan.note_tried(Tried(name=f"solved: {choice.name}", scores={}, cpu_s=time.process_time() - began, chosen=True))
        # The encoder's bytes are not to change.
        link_encoder(folder, output)
        head.write(output)
        if blocks is not None:
            blocks.write(output)
        replace(description, labels=tuple(one.name for one in head.dimensions)).write(output)
        plan.report(TrainingStep(step=1, steps=1, epoch=1.0, loss=0.0, examples_per_s=0.0, message=note))
