"""What every refresh of a head on stored features has in common, whatever the head gives."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from config.errors import RunFailedError
from perennial_artifact.description import Description, describe
from perennial_artifact.sentence.head import Answers, Matrix
from trainers.learners.features import FeatureSet
from trainers.learners.opening import usable
from trainers.learners.protocols import Example, TrainingPlan


def champion_of(plan: TrainingPlan, formats: Collection[str]) -> tuple[Path, Description]:
    """Return the champion that is refreshed, of one of these formats, and what it says of itself. Raises `RunFailedError`."""
    if plan.warm_start is None:
        message = "a refresh needs a champion, and there is none; ask for a full run"
        raise RunFailedError(message)
    with usable():
        description = describe(plan.warm_start)
    if description.format not in formats:
        message = f"the champion's format is {description.format}, whose head cannot be refreshed; ask for a full run"
        raise RunFailedError(message)
    return plan.warm_start, description


def known_rows(plan: TrainingPlan, rows: Sequence[Example]) -> tuple[list[Example], FeatureSet, str]:
    """Return the rows whose features are stored, these, and a note of the others. Raises `RunFailedError` where there is none."""
    stored = plan.champion_features
    known = [row for row in rows if stored is not None and row.example_id in stored]
    if stored is None or not known:
        message = "no features of the champion's encoder are stored for the rows; they are computed before the next run"
        raise RunFailedError(message)
    return known, stored, f"{len(rows) - len(known)} rows have no features yet" if len(known) < len(rows) else ""


def refuse_of_another(features: Matrix, head: Answers) -> None:
    """Raise `RunFailedError` for features that a head does not read."""
    if features.shape[1] != head.weight.shape[1]:
        message = (
            f"the stored features have {features.shape[1]} numbers and the champion's head reads {head.weight.shape[1]}: "
            "they are another encoder's. The run fails; the next one computes them anew"
        )
        raise RunFailedError(message)
