"""What runs of words beside an encoder's features bring a regression, on rows that nothing has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from perennial_artifact.blocks.features import Blocks, named
from perennial_artifact.sentence.numbers import Measured
from trainers.learners.heads.published.answering import read
from trainers.learners.heads.rows import days_of
from trainers.learners.heads.validation import splits
from trainers.learners.protocols import Example, TrainingPlan
from trainers.learners.ridge.choosing import Choice, compare_over_time
from trainers.learners.ridge.rows import number_rows


def words_of(plan: TrainingPlan) -> Blocks | None:
    """Return the block of runs of words; None where the task does not ask for it."""
    asked = "ngrams" in plan.spec.training.feature_blocks
    return named(("ngrams",), base_columns=None) if asked else None


def note_compared(plan: TrainingPlan, rows: Sequence[Example], dimensions: tuple[Measured, ...], choice: Choice) -> None:
    """Note how newer rows are answered with and without runs of words, on the base model's features where these are stored.

    The task decides, whatever comes out.
    """
    base, blocks = plan.base_features, words_of(plan)
    if base is None or blocks is None:
        return
    known = [row for row in rows if row.example_id in base]
    known = [known[at] for at in splits.thinned(days_of(known))]
    if not known:
        return
    without = number_rows(known, base.rows([row.example_id for row in known]), dimensions)
    beside = replace(without, features=read(base.rows([row.example_id for row in known]), [row.text for row in known], blocks))
    found = compare_over_time(without, beside, choice)
    if found is not None:
        plan.note_tried(found[0].model_copy(update={"name": "the base model's features without feature blocks", "chosen": False}))
        plan.note_tried(found[1].model_copy(update={"name": "the same with ngrams", "chosen": True}))
