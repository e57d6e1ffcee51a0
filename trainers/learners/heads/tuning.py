"""Before an encoder is tuned: which one to start from, whether tuning it pays, and the head to tune it with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from perennial_artifact.description import describe
from perennial_artifact.labels import LabelSet
from perennial_artifact.sentence.head import Head
from perennial_artifact.sentence.layout import WITH_HEAD
from trainers.learners.features import FeatureSet
from trainers.learners.heads import forward
from trainers.learners.heads.families.family import Family
from trainers.learners.heads.forward import Choice
from trainers.learners.heads.rows import HeadRows, head_rows
from trainers.learners.heads.solving import Weights
from trainers.learners.opening import usable
from trainers.learners.protocols import Example, TrainingPlan

_LEAST_KNOWN = 0.9
"""Share of the rows whose features must be stored for them to speak for all."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a slow run begins with."""

    from_champion: bool
    """Whether the champion's encoder goes on; else the base model's."""
    tune: bool
    choice: Choice | None
    """How the head is solved, chosen on features that had not seen the rows; None where none are stored."""
    head: Weights | None
    """A head on the features of the encoder to start from, where these are stored."""


def where_to_start(  # noqa: PLR0917 - all of them are what one run has
    plan: TrainingPlan, rows: Sequence[Example], labels: LabelSet, champion: Path | None, before: Choice, family: Family
) -> Start:
    """Return how a slow run begins; what was tried on the way is noted.

    An incremental run goes on tuning the champion's encoder, unless `training.tuning` says never, or (auto) the rows newer than
    what that encoder was tuned on are answered clearly better from the base model's features: then these are taken as they are.
    """
    base = _known(plan.base_features, rows, labels, family)
    choice = None if base is None else forward.choose(base, before, plan.note_tried)
    if champion is None:
        tune = plan.spec.training.tuning != "never"
        return Start(from_champion=False, tune=tune, choice=choice, head=_start_head(base, choice or before))
    ours = _known(plan.champion_features, rows, labels, family)
    if plan.spec.training.tuning == "never":
        return Start(from_champion=True, tune=False, choice=choice, head=None)
    if plan.spec.training.tuning == "auto" and _base_is_better(ours, base, champion, choice or before, plan):
        return Start(from_champion=False, tune=False, choice=choice, head=None)
    return Start(from_champion=True, tune=True, choice=choice, head=_start_head(ours, choice or before))


def _base_is_better(ours: HeadRows | None, base: HeadRows | None, champion: Path, choice: Choice, plan: TrainingPlan) -> bool:
    """Return whether tuning has not paid so far: the champion's features against the base's on rows its encoder has not seen."""
    if ours is None or base is None:
        return False
    with usable():
        solved = Head.read(champion).solved if describe(champion).format in WITH_HEAD else None
    if solved is None or solved.tuned_until_days is None or len(ours) != len(base):
        return False
    found = forward.compare(ours, base, choice, newer_than_days=solved.tuned_until_days)
    if found is None:
        return False
    first, second, better = found
    plan.note_tried(first.model_copy(update={"name": "tuned features on rows newer than the tuning"}))
    plan.note_tried(second.model_copy(update={"name": "the base model's features on the same rows"}))
    return better


def _known(features: FeatureSet | None, rows: Sequence[Example], labels: LabelSet, family: Family) -> HeadRows | None:
    """Return the rows whose features are stored; None where that is not nearly all of them."""
    if features is None:
        return None
    known = [row for row in rows if row.example_id in features]
    if len(known) < _LEAST_KNOWN * len(rows):
        return None
    return head_rows(known, features.rows([row.example_id for row in known]), labels, family)


def _start_head(rows: HeadRows | None, choice: Choice) -> Weights | None:
    if rows is None or not rows.family.can_fit(rows.labels):
        return None
    return rows.family.solve(rows.features, rows.labels, rows.weights, strength=choice.strength)
