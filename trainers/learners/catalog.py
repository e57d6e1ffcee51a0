"""Which class learns which kind of task on which backend: registered by its import path, imported where it is first needed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from config.errors import RunFailedError
from config.tasks import TaskSpec
from trainers.learners.protocols import Learner, Refresher

_LEARNERS: dict[tuple[str, str], str] = {
    ("ner", "spacy"): "trainers.learners.spacy.ner:SpacyNerLearner",
    ("ner", "transformer"): "trainers.learners.tagging.ner:TaggingLearner",
    ("classification", "transformer"): "trainers.learners.encoders.classification:ClassificationLearner",
    ("multilabel", "transformer"): "trainers.learners.encoders.classification:ClassificationLearner",
    ("regression", "transformer"): "trainers.learners.encoders.regression:RegressionLearner",
    ("signals", "transformer"): "trainers.learners.encoders.signals:SignalsLearner",
}
"""By kind and backend. Paths, because model libraries are heavy and one process needs one of them."""


@dataclass(frozen=True, slots=True)
class _Refreshing:
    path: str
    from_features: bool
    """Whether it learns from stored features, without the model library. What it made answers from them too
    (`heads.published.answering`)."""


_REFRESHERS: dict[tuple[str, str], _Refreshing] = {
    ("ner", "spacy"): _Refreshing("trainers.learners.spacy.refresh:RecogniserRefresh", from_features=False),
    ("ner", "transformer"): _Refreshing("trainers.learners.tagging.refresh:TaggingRefresh", from_features=False),
    ("classification", "transformer"): _Refreshing("trainers.learners.heads.published.refresh:HeadRefresh", from_features=True),
    ("multilabel", "transformer"): _Refreshing("trainers.learners.heads.published.refresh:HeadRefresh", from_features=True),
    ("regression", "transformer"): _Refreshing("trainers.learners.ridge.refresh:RidgeRefresh", from_features=True),
    ("signals", "transformer"): _Refreshing("trainers.learners.signals.refresh:SignalRefresh", from_features=True),
}
"""By kind and backend: what learns the upper part of a champion anew, in seconds."""


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
    found: Learner = _made(path)
    return found


def can_refresh(kind: str, backend: str) -> bool:
    """Return whether the head of such a model can be learnt anew while what is below it stays."""
    return (kind, backend) in _REFRESHERS


def refreshes_from_features(kind: str, backend: str) -> bool:
    """Return whether a refresh of such a model learns and answers from stored features."""
    return can_refresh(kind, backend) and _REFRESHERS[kind, backend].from_features


def refresher_for(spec: TaskSpec) -> Refresher:
    """Return what refreshes this task's head. Raises `RunFailedError` when nothing does."""
    found: Refresher = _made(_refreshing(spec).path)
    return found


def _refreshing(spec: TaskSpec) -> _Refreshing:
    found = _REFRESHERS.get((spec.kind, spec.backend))
    if found is None:
        message = f"the head of kind {spec.kind!r} on backend {spec.backend!r} cannot be refreshed; ask for a full run"
        raise RunFailedError(message)
    return found


def _made(path: str) -> Any:  # noqa: ANN401 - whatever the path names
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)()
