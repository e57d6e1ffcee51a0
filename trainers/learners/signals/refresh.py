"""The fast clock of signals: their heads solved anew on stored features. The encoder stays; no torch is loaded."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from perennial_artifact.sentence.layout import SIGNALS_FORMAT
from perennial_artifact.sentence.signal_head import SignalHead
from trainers.learners.heads.published.links import link_encoder
from trainers.learners.heads.published.stored import champion_of, known_rows, refuse_of_another
from trainers.learners.opening import usable as usable_model
from trainers.learners.protocols import TrainingPlan, TrainingStep
from trainers.learners.signals.choosing import build, choice_of, choose
from trainers.learners.signals.rows import signal_rows, usable
from trainers.learners.tried import Tried

_MOST_CHOSEN_CELLS = 30_000
"""Rows times categories; with more a refresh solves as the champion was solved: choosing would take longer than solving."""


class SignalRefresh:
    """Solves the heads of signals on stored features."""

    def train(self, plan: TrainingPlan, output: Path) -> None:
        """Write the champion with heads solved on all rows whose features are stored.

        Raises `RunFailedError` when the champion is of another format, features are missing, or no row tells a category.
        """
        folder, description = champion_of(plan, (SIGNALS_FORMAT,))
        with usable_model():
            before = SignalHead.read(folder)
        every = usable(plan)
        known, stored, note = known_rows(plan, every.rows)
        features = stored.rows([row.example_id for row in known])
        refuse_of_another(before.read_by(features, [row.text for row in known]), before)
        found = usable(replace(plan, rows=known)) if len(known) < len(every.rows) else every
        keywords = plan.spec.keywords
        rows, choice = signal_rows(known, features, found.shown, keywords), choice_of(before)
        if len(rows) * len(found.shown.categories) <= _MOST_CHOSEN_CELLS:
            choice = choose(rows, choice, plan.note_tried)
        began = time.process_time()
        about = replace(before.solved, refreshes=before.solved.refreshes + 1)
        head = build(rows, found.shown, choice, plan.spec.training.loss, about, keywords=keywords, before=before)
        plan.note_tried(Tried(name=f"solved: {choice.name}", scores={}, cpu_s=time.process_time() - began, chosen=True))
        # The encoder's bytes are not to change.
        link_encoder(folder, output)
        head.write(output)
        replace(description, labels=tuple(one.name for one in head.categories)).write(output)
        plan.report(TrainingStep(step=1, steps=1, epoch=1.0, loss=0.0, examples_per_s=0.0, message=found.note or note))
