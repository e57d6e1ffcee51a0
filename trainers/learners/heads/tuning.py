"""Before an encoder is tuned to tell labels: what `starting` asks of heads of labels."""

from __future__ import annotations

from functools import partial

from perennial_artifact.labels import LabelSet
from trainers.learners.heads.families.family import Family
from trainers.learners.heads.rows import HeadRows, head_rows
from trainers.learners.heads.solving import Weights
from trainers.learners.heads.validation import forward
from trainers.learners.heads.validation.forward import Choice
from trainers.learners.protocols import TrainingPlan
from trainers.learners.starting import Start, Ways

LabelStart = Start[Choice, Weights]


def ways(plan: TrainingPlan, labels: LabelSet, family: Family) -> Ways[HeadRows, Choice, Weights]:
    """Return how heads of these labels are chosen, judged and solved."""
    return Ways(
        rows=partial(head_rows, labels=labels, family=family),
        choose=lambda rows, before: forward.choose(rows, before, plan.note_tried),
        compare=lambda ours, base, choice, until: forward.compare(ours, base, choice, newer_than_days=until),
        solve=_start_head,
    )


def _start_head(rows: HeadRows, choice: Choice) -> Weights | None:
    if not rows.family.can_fit(rows.labels):
        return None
    return rows.family.solve(rows.features, rows.labels, rows.weights, strength=choice.strength)
