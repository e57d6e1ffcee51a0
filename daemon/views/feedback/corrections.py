"""The corrections in force: which answer for their own texts now, and since when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from config.tasks import TaskSpec
from daemon.flow.answering import answer_of, labels_of
from daemon.views.view import View

if TYPE_CHECKING:
    from registry.artifacts.protocol import ArtifactStore
    from registry.people.corrections import Answering
    from registry.store import Registry


class CorrectionInForce(View):
    """A trusted correction that answers for its own text until a champion has learnt it."""

    event_id: str
    task: str
    target: dict[str, Any]
    answers_since: datetime
    answers: bool
    """Whether it answers now; not if the champion has learnt it, or does not know its label."""


class Answers:
    """Tells which corrections answer beside the present champions. Not thread-safe."""

    def __init__(self, registry: Registry, artifacts: ArtifactStore, tasks: Mapping[str, TaskSpec]) -> None:
        self._registry = registry
        self._artifacts = artifacts
        self._tasks = tasks
        self._labels: dict[str, frozenset[str]] = {}

    def answers(self, one: Answering) -> bool:
        """Return whether a correction in force answers now. Raises `RetryError`."""
        spec, champion = self._tasks.get(one.task), self._registry.versions.champion(one.task)
        if spec is None or champion is None or answer_of(one, spec, self._known(champion.version)) is None:
            return False
        return self._registry.corrections.answers_beside(champion.version, one.task, one.event_id)

    def in_force(self, task: str | None, limit: int) -> list[CorrectionInForce]:
        """Return the newest `limit` corrections of a task, or of all tasks. Raises `RetryError`."""
        return [
            CorrectionInForce(
                event_id=one.event_id, task=one.task, target=dict(one.target), answers_since=one.answers_since,
                answers=self.answers(one),
            )
            for one in self._registry.corrections.newest(task, limit)
        ]  # fmt: skip

    def _known(self, version: str) -> frozenset[str]:
        if version not in self._labels:
            self._labels[version] = labels_of(self._artifacts.folder(self._registry.versions.get(version).artifact_id))
        return self._labels[version]
