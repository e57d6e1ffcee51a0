"""Before an encoder is tuned to give numbers: what `starting` asks of heads of numbers."""

from __future__ import annotations

from perennial_artifact.sentence.numbers import Measured
from trainers.learners.heads.published.answering import read
from trainers.learners.protocols import TrainingPlan
from trainers.learners.ridge import choosing
from trainers.learners.ridge.blocks import words_of
from trainers.learners.ridge.choosing import Choice
from trainers.learners.ridge.rows import NumberRows, number_rows
from trainers.learners.ridge.solving import Map
from trainers.learners.starting import Start, Ways

NumberStart = Start[Choice, Map]


def ways(plan: TrainingPlan, dimensions: tuple[Measured, ...]) -> Ways[NumberRows, Choice, Map]:
    """Return how heads of these dimensions are chosen, judged and solved.

    Where the task asks for runs of words, these are read too: with them another strength is best. The head to tune with reads the
    encoder alone, so then there is none from here.
    """
    blocks = words_of(plan)
    return Ways(
        rows=lambda rows, features: number_rows(rows, read(features, [row.text for row in rows], blocks), dimensions),
        choose=lambda rows, before: choosing.choose(rows, before, plan.note_tried),
        compare=lambda ours, base, choice, until: choosing.compare(ours, base, choice, newer_than_days=until),
        solve=lambda rows, choice: None if blocks is not None else choosing.solved(rows, choice, plan.spec.training.loss),
    )
