"""How many labels a text of a task has, and what follows for whoever learns it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from perennial_artifact.labels import LabelSet
from perennial_artifact.sentence.layout import BLOCKS_FORMAT, BLOCKS_MULTILABEL_FORMAT, FORMAT, MULTILABEL_FORMAT
from trainers.learners.heads.families.binomial import Binomial
from trainers.learners.heads.families.family import Family
from trainers.learners.heads.families.multinomial import Multinomial
from trainers.learners.protocols import TrainingPlan
from trainers.learners.usable import Usable, with_one_label, with_several_labels


@dataclass(frozen=True, slots=True)
class Labelling:
    """What differs between texts of one label and of several."""

    family: Family
    """How a head's labels are told apart."""
    format: str
    """How a published folder is opened."""
    format_with_blocks: str
    """The same where its head reads further blocks of features."""
    said: Callable[[str], Mapping[str, Any]]
    """Returns the answer that gives one label and no other."""
    usable: Callable[[TrainingPlan, LabelSet | None], Usable]
    """Returns the rows to learn from and the labels of a model that begins at the base; raises `RunFailedError`."""


def of(spec: TaskSpec) -> Labelling:
    """Return how the texts of a task are labelled."""
    balanced = spec.training.class_weights == "balanced"
    if kinds.get(spec.kind).several:
        formats = (MULTILABEL_FORMAT, BLOCKS_MULTILABEL_FORMAT)
        return Labelling(Binomial(balanced), *formats, lambda label: {"labels": [label]}, with_several_labels)
    return Labelling(Multinomial(balanced), FORMAT, BLOCKS_FORMAT, lambda label: {"label": label}, with_one_label)
