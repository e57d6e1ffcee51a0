"""Before an encoder is tuned to give signals: what `starting` asks of their heads."""

from __future__ import annotations

from functools import partial

from trainers.learners import starting
from trainers.learners.protocols import TrainingPlan
from trainers.learners.signals import choosing
from trainers.learners.signals.choosing import Choice
from trainers.learners.signals.rows import Shown, SignalRows, signal_rows
from trainers.learners.starting import Ways

SignalStart = starting.Start[Choice, choosing.Start]


def ways(plan: TrainingPlan, shown: Shown) -> Ways[SignalRows, Choice, choosing.Start]:
    """Return how heads of these categories are chosen, judged and solved."""
    return Ways(
        rows=partial(signal_rows, shown=shown, keywords=plan.spec.keywords),
        choose=lambda rows, before: choosing.choose(rows, before, plan.note_tried),
        compare=lambda ours, base, choice, until: choosing.compare(ours, base, choice, newer_than_days=until),
        solve=lambda rows, choice: choosing.start(rows, choice, plan.spec.training.loss),
    )
