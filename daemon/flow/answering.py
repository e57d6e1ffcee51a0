"""What a correction in force answers beside the model that is served: asked by serving, and by whoever reports it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from config.kinds import catalog as kinds
from config.kinds.kind import Answer, Measures, Target
from config.kinds.regression.dimensions import score_of, tier_of
from config.tasks import TaskSpec
from perennial_artifact.description import describe
from perennial_artifact.errors import UnusableError
from registry.people.corrections import Answering


def answer_of(one: Answering, spec: TaskSpec, known_labels: Collection[str]) -> Answer | None:
    """Return the answer of a correction; None if its task does not allow it.

    In an open task users alone bring no label: each must be among the served model's `known_labels`, or in the task file, or a
    person has accepted the correction.
    """
    kind = kinds.get(spec.kind)
    if not spec.feedback.corrections_answer or not kind.fits(one.target):
        return None
    labels = frozenset(kind.labels(one.target))
    vouched = one.accepted or spec.labels == "closed" or labels <= {*known_labels, *spec.label_names}
    if not vouched or not all(map(spec.teaches, labels)):
        return None
    return _measured(one.target, spec) if isinstance(kind, Measures) else kind.corrected(one.target)


def _measured(target: Target, spec: TaskSpec) -> Answer | None:
    """Return the answer that says what a target does, with its tier; None where it lacks a part, or has one out of range."""
    kind = kinds.get(spec.kind)
    names = {one.name for one in spec.declared}
    if target[kind.key].keys() != names or not isinstance(kind, Measures) or kind.unfit(target, spec.declared):
        return None
    answer = kind.corrected(target)
    if answer is None or not spec.tiers:
        return answer
    score = score_of(target[kind.key], {dimension.name: dimension.weight for dimension in spec.dimensions})
    if score is None:
        return answer
    return {**answer, "score": score, "tier": tier_of(score, spec.tiers)}


def labels_of(folder: Path) -> frozenset[str]:
    """Return the labels that the model in `folder` may answer with; none if it does not say."""
    try:
        return frozenset(describe(folder).labels)
    except UnusableError:
        # It may be served all the same: a loader may know more than the folder says.
        return frozenset()
