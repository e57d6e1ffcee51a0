"""Before an encoder is tuned to give numbers: which one to start from, whether tuning pays, and the head to tune it with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from perennial_artifact.description import describe
from perennial_artifact.sentence.layout import REGRESSION_FORMAT
from perennial_artifact.sentence.numbers import Measured, NumberHead
from trainers.learners.features import FeatureSet
from trainers.learners.opening import usable
from trainers.learners.protocols import Example, TrainingPlan
from trainers.learners.ridge import choosing
from trainers.learners.ridge.choosing import Choice
from trainers.learners.ridge.rows import NumberRows, number_rows
from trainers.learners.ridge.solving import Map

_LEAST_KNOWN = 0.9
"""Share of the rows whose features must be stored for them to speak for all."""
_SECONDS_A_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Start:
    """What a slow run begins with."""

    from_champion: bool
    """Whether the champion's encoder goes on; else the base model's."""
    tune: bool
    choice: Choice | None
    """How the head is solved, chosen on features that had not seen the rows; None where none are stored."""
    head: Map | None
    """A head on the features of the encoder to start from, where these are stored."""


def where_to_start(
    plan: TrainingPlan, rows: Sequence[Example], dimensions: tuple[Measured, ...], champion: Path | None, before: Choice
) -> Start:
    """Return how a slow run begins; what was tried on the way is noted. As for labels (`heads.tuning`)."""
    loss, tuning = plan.spec.training.loss, plan.spec.training.tuning
    base = _known(plan.base_features, rows, dimensions)
    choice = None if base is None else choosing.choose(base, before, plan.note_tried)
    if champion is None:
        head = None if base is None else choosing.solved(base, choice or before, loss)
        return Start(from_champion=False, tune=tuning != "never", choice=choice, head=head)
    if tuning == "never":
        return Start(from_champion=True, tune=False, choice=choice, head=None)
    ours = _known(plan.champion_features, rows, dimensions)
    if (
        tuning == "auto"
        and base is not None
        and ours is not None
        and _base_is_better(ours, base, champion, choice or before, plan)
    ):
        return Start(from_champion=False, tune=False, choice=choice, head=None)
    head = None if ours is None else choosing.solved(ours, choice or before, loss)
    return Start(from_champion=True, tune=True, choice=choice, head=head)


def _base_is_better(ours: NumberRows, base: NumberRows, champion: Path, choice: Choice, plan: TrainingPlan) -> bool:
    """Return whether tuning has not paid so far: the champion's features against the base's on rows its encoder has not seen."""
    with usable():
        solved = NumberHead.read(champion).solved if describe(champion).format == REGRESSION_FORMAT else None
    if solved is None or solved.tuned_until is None or len(ours) != len(base):
        return False
    until = datetime.fromisoformat(solved.tuned_until).timestamp() / _SECONDS_A_DAY
    found = choosing.compare(ours, base, choice, newer_than_days=until)
    if found is None:
        return False
    first, second, better = found
    plan.note_tried(first.model_copy(update={"name": "tuned features on rows newer than the tuning"}))
    plan.note_tried(second.model_copy(update={"name": "the base model's features on the same rows"}))
    return better


def _known(features: FeatureSet | None, rows: Sequence[Example], dimensions: tuple[Measured, ...]) -> NumberRows | None:
    """Return the rows whose features are stored; None where that is not nearly all of them."""
    known = [row for row in rows if features is not None and row.example_id in features]
    if features is None or not known or len(known) < _LEAST_KNOWN * len(rows):
        return None
    return number_rows(known, features.rows([row.example_id for row in known]), dimensions)
