"""A model of before a change of labels, as it answers under the labels in force: judged on what it can know."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from config.foreign.labels import label_of_stored
from config.kinds import catalog as kinds
from config.kinds.kind import AnswersLabels
from config.tasks import TaskSpec
from perennial_artifact.predictor import Answer, Predictor


class InForce:
    """A model whose answers carry the names in force, and never a label that was retired or split.

    Where it would have answered such a label, the most probable one of those that are left counts.
    """

    def __init__(self, model: Predictor, task: TaskSpec) -> None:
        self._model = model
        self._task = task

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return an answer for each text."""
        return [self._renamed(answer) for answer in self._model.predict(texts)]

    def _renamed(self, answer: Answer) -> Answer:
        kind = kinds.of(answer)
        return kind.answered(answer, self._name) if isinstance(kind, AnswersLabels) else answer

    def _name(self, label: str) -> str | None:
        return name_of(label, self._task)


def name_of(label: str, task: TaskSpec) -> str | None:
    """Return what a label that a model knows is called now; None where it was retired or split."""
    known = label_of_stored(label)
    name = task.renames.get(known, known)
    return None if name in task.gone else name


def with_labels_in_force(model: Predictor, task: TaskSpec, labels: Collection[str]) -> Predictor:
    """Return a model that knows `labels` as it answers under the labels in force: itself, where none of its has changed."""
    return InForce(model, task) if any(name_of(label, task) != label for label in labels) else model


def known_in_force(task: TaskSpec, labels: Collection[str]) -> frozenset[str]:
    """Return what a model that knows `labels` can answer, under the names in force."""
    return frozenset(name for label in labels if (name := name_of(label, task)) is not None)
