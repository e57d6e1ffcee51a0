"""Further blocks beside an encoder's features: what a plan has of them, and what they bring on rows that nothing has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from perennial_artifact.description import describe
from perennial_artifact.labels import LabelSet
from perennial_artifact.sentence.head import Head
from perennial_artifact.sentence.layout import WITH_HEAD
from trainers.learners.features import FeatureSet
from trainers.learners.heads.published.answering import blocks_of, read
from trainers.learners.heads.rows import HeadRows, days_of, head_rows
from trainers.learners.heads.validation import forward, splits
from trainers.learners.heads.validation.forward import Choice
from trainers.learners.labelling import of as labelling_of
from trainers.learners.opening import usable
from trainers.learners.protocols import Example, TrainingPlan
from trainers.learners.tried import Tried

_Found = tuple[str, Sequence[str], tuple[Tried, Tried, bool]]
"""On what features blocks were compared, which ones, and what came out, without them and with them."""


def apart(plan: TrainingPlan, champion: Path | None) -> TrainingPlan:
    """Return the plan with what the champion's own encoder makes of the rows, apart from what the base model beside it makes."""
    if champion is None or plan.champion_features is None:
        return plan
    with usable():
        blocks = blocks_of(champion, describe(champion))
    if blocks is None or blocks.base is None:
        return plan
    width = plan.champion_features.matrix.shape[1] - blocks.base.columns
    own, base = plan.champion_features.columns(0, width), plan.champion_features.columns(width, None)
    return replace(plan, champion_features=own, base_features=base if plan.base_features is None else plan.base_features)


def note_compared(plan: TrainingPlan, rows: Sequence[Example], labels: LabelSet, champion: Path | None, choice: Choice) -> None:
    """Note how newer rows are answered with and without the blocks that the task asks for, where features have not seen them.

    These are a tuned champion's, for rows newer than its tuning; else the base model's, which say nothing of its own block. The
    task decides, whatever comes out: `champion` is what the run goes on from.
    """
    if not plan.spec.training.feature_blocks:
        return
    found = None if champion is None else _on_tuned(plan, rows, labels, champion, choice)
    found = found or _on_base(plan, rows, labels, choice)
    if found is not None:
        what, names, (without, beside, _better) = found
        plan.note_tried(without.model_copy(update={"name": f"{what} without feature blocks", "chosen": False}))
        plan.note_tried(beside.model_copy(update={"name": f"the same with {' and '.join(names)}", "chosen": True}))


def _on_tuned(plan: TrainingPlan, rows: Sequence[Example], labels: LabelSet, champion: Path, choice: Choice) -> _Found | None:
    own, names = plan.champion_features, plan.spec.training.feature_blocks
    base = plan.base_features if "base" in names else None
    if own is None or ("base" in names and base is None):
        return None
    with usable():
        until = Head.read(champion).solved.tuned_until_days if describe(champion).format in WITH_HEAD else None
    pair = None if until is None else _pair(plan, rows, labels, own, base)
    found = None if pair is None or until is None else forward.compare(*pair, choice, newer_than_days=until)
    return None if found is None else ("tuned features on rows newer than the tuning", names, found)


def _on_base(plan: TrainingPlan, rows: Sequence[Example], labels: LabelSet, choice: Choice) -> _Found | None:
    names = [name for name in plan.spec.training.feature_blocks if name != "base"]
    pair = None if plan.base_features is None or not names else _pair(plan, rows, labels, plan.base_features, None)
    found = None if pair is None else forward.compare_over_time(*pair, choice)
    return None if found is None else ("the base model's features", names, found)


def _pair(
    plan: TrainingPlan, rows: Sequence[Example], labels: LabelSet, own: FeatureSet, base: FeatureSet | None
) -> tuple[HeadRows, HeadRows] | None:
    """Return rows whose features are stored, in order of time and thinned out: with `own` alone, and with the task's blocks.

    The base model's is among these where `base` is given.
    """
    from perennial_artifact.blocks.features import named  # noqa: PLC0415 - as above

    known = [row for row in rows if row.example_id in own and (base is None or row.example_id in base)]
    known = [known[at] for at in splits.thinned(days_of(known))]
    if not known:
        return None
    ids = [row.example_id for row in known]
    features = own.rows(ids)
    wide = features if base is None else np.hstack([features, base.rows(ids)])
    blocks = named(plan.spec.training.feature_blocks, base_columns=None if base is None else base.matrix.shape[1])
    without = head_rows(known, features, labels, labelling_of(plan.spec).family)
    return without, without.with_features(read(wide, [row.text for row in known], blocks))
