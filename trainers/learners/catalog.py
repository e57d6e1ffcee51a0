"""Which class learns which kind of task on which backend: registered by its import path, imported where it is first needed."""

from __future__ import annotations

from importlib import import_module

from config.errors import RunFailedError
from config.tasks import TaskSpec
from trainers.learners.protocols import Learner, Refresher

_LEARNERS: dict[tuple[str, str], str] = {
    ("ner", "spacy"): "trainers.learners.spacy.ner:SpacyNerLearner",
    ("ner", "transformer"): "trainers.learners.tagging.ner:TaggingLearner",
    ("classification", "transformer"): "trainers.learners.encoders.classification:ClassificationLearner",
    ("multilabel", "transformer"): "trainers.learners.encoders.classification:ClassificationLearner",
}
"""By kind and backend. Paths, because model libraries are heavy and one process needs one of them."""

_REFRESHERS: dict[tuple[str, str], str] = {
    ("classification", "transformer"): "trainers.learners.heads.refresh:HeadRefresh",
    ("multilabel", "transformer"): "trainers.learners.heads.refresh:HeadRefresh",
}
"""By kind and backend: what solves a champion's head anew on stored features, without its model library."""


def register(kind: str, backend: str, path: str) -> None:
    """Say what learns tasks of a kind on a backend: `path` is `MODULE:CLASS`, and the class makes a `Learner` without arguments.

    Raises `ValueError` when another class is registered for the pair.
    """
    if _LEARNERS.setdefault((kind, backend), path) != path:
        message = f"kind {kind!r} on backend {backend!r} is learnt by {_LEARNERS[kind, backend]} already, not by {path}"
        raise ValueError(message)


def known() -> list[tuple[str, str]]:
    """Return the pairs of kind and backend that something is registered for."""
    return sorted(_LEARNERS)


def learner_for(spec: TaskSpec) -> Learner:
    """Return what learns this task; its library is imported now, and not before."""
    return learner(spec.kind, spec.backend)


def learner(kind: str, backend: str) -> Learner:
    """Return what learns tasks of a kind on a backend. Raises `RunFailedError` when nothing is registered for them."""
    path = _LEARNERS.get((kind, backend))
    if path is None:
        pairs = ", ".join(f"{kind} on {backend}" for kind, backend in known())
        message = f"nothing here learns kind {kind!r} on backend {backend!r}; known are {pairs}"
        raise RunFailedError(message)
    module, _, name = path.partition(":")
    found: Learner = getattr(import_module(module), name)()
    return found


def can_refresh(kind: str, backend: str) -> bool:
    """Return whether the head of such a model can be solved anew without tuning."""
    return (kind, backend) in _REFRESHERS


def refresher_for(spec: TaskSpec) -> Refresher:
    """Return what refreshes this task's head. Raises `RunFailedError` when nothing does."""
    path = _REFRESHERS.get((spec.kind, spec.backend))
    if path is None:
        message = f"the head of kind {spec.kind!r} on backend {spec.backend!r} cannot be refreshed; ask for a full run"
        raise RunFailedError(message)
    module, _, name = path.partition(":")
    found: Refresher = getattr(import_module(module), name)()
    return found
