"""The fast clock: a champion's head solved anew on stored features. The encoder stays, file by file; no torch is loaded."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from perennial_artifact.sentence.head import Head
from perennial_artifact.sentence.layout import WITH_HEAD
from trainers.learners.heads.building import build, choice_of
from trainers.learners.heads.label_words.starts import read as starts_of
from trainers.learners.heads.published.answering import blocks_of, read
from trainers.learners.heads.published.links import link_encoder
from trainers.learners.heads.published.stored import champion_of, known_rows, refuse_of_another
from trainers.learners.heads.rows import HeadRows, head_rows
from trainers.learners.heads.validation.contradictions import lightened
from trainers.learners.heads.validation.forward import Choice, choose
from trainers.learners.labelling import of as labelling_of
from trainers.learners.opening import usable as usable_model
from trainers.learners.protocols import TrainingPlan, TrainingStep
from trainers.learners.tried import Tried

_MOST_CHOSEN_ROWS = 20_000
_MOST_CHOSEN_CELLS = 100_000
"""Rows times labels, where each label is told by itself. With more of either a refresh solves as the champion was solved:
choosing anew would take longer than the solving."""


class HeadRefresh:
    """Solves a linear head on stored features."""

    def train(self, plan: TrainingPlan, output: Path) -> None:
        """Write the champion with a head solved on all rows whose features are stored.

        Raises `RunFailedError` when the champion is of another format, features are missing, or fewer than two labels are there.
        """
        folder, description = champion_of(plan, WITH_HEAD)
        with usable_model():
            before, starts = Head.read(folder), starts_of(folder)
        labelling = labelling_of(plan.spec)
        found = labelling.usable(plan, before.labels)
        known, stored, note = known_rows(plan, found.rows)
        blocks = blocks_of(folder, description)
        features = read(stored.rows([row.example_id for row in known]), [row.text for row in known], blocks)
        refuse_of_another(features, before)
        note = found.note or note
        known = lightened(plan, known, stored, found.labels, choice_of(before))
        rows = head_rows(known, features, found.labels, labelling.family, starts)
        choice = _choice(rows, choice_of(before), plan)
        began = time.process_time()
        about = replace(before.solved, refreshes=before.solved.refreshes + 1)
        head = build(rows, found.labels, choice, about, start=before, declared=plan.spec.label_names)
        plan.note_tried(Tried(name=f"solved: {choice.name}", scores={}, cpu_s=time.process_time() - began, chosen=True))
        # The encoder's bytes are not to change.
        link_encoder(folder, output)
        head.write(output)
        if starts is not None:
            starts.write(output)
        if blocks is not None:
            blocks.write(output)
        answerable = tuple(head.labels.names[number] for number in head.labels.seen_ids)
        replace(description, labels=answerable).write(output)
        plan.report(TrainingStep(step=1, steps=1, epoch=1.0, loss=0.0, examples_per_s=0.0, message=note))


def _choice(rows: HeadRows, before: Choice, plan: TrainingPlan) -> Choice:
    dear = len(rows) > _MOST_CHOSEN_ROWS or (rows.labels.ndim > 1 and rows.labels.size > _MOST_CHOSEN_CELLS)
    return before if dear else choose(rows, before, plan.note_tried)
