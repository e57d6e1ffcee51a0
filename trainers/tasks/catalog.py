"""Which class learns which kind of task."""

from __future__ import annotations

from config.tasks import TaskSpec
from trainers.task import Task


def task_for(spec: TaskSpec) -> Task:
    """Return what trains and loads models of this kind; its library is imported now, and not before."""
    if spec.kind == "ner":
        from trainers.tasks.spacy_ner import SpacyNerTask  # noqa: PLC0415 - spaCy is heavy, and only this kind needs it

        return SpacyNerTask()
    from trainers.tasks.classification import ClassificationTask  # noqa: PLC0415 - so is transformers

    return ClassificationTask()
