"""Which class learns which kind of task."""

from __future__ import annotations

from config.tasks import TaskSpec
from trainers.learners.protocols import Task


def task_for(spec: TaskSpec) -> Task:
    """Return what trains and loads models of this kind; its library is imported now, and not before."""
    if spec.kind == "ner":
        from trainers.learners.spacy.ner import SpacyNerTask  # noqa: PLC0415 - spaCy is heavy, and only this kind needs it

        return SpacyNerTask()
    from trainers.learners.encoders.classification import ClassificationTask  # noqa: PLC0415 - so is transformers

    return ClassificationTask()
