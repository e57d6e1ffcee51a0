"""The corrections that answer in a model's place, as this serving process knows them: in memory, read from the registry."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from config.errors import PerennialError
from config.kinds.kind import Answer
from config.tasks import TaskSpec
from consumers.events.schemas import content_sha256
from daemon.flow.answering import answer_of
from daemon.serving.models.slot import SlotStatus
from registry.people.corrections import Corrections

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Corrected:
    """The answer of a correction to its one text."""

    event_id: str
    answer: Answer
    since: datetime


@dataclass(slots=True)
class _Known:
    """What is known of one task."""

    version: str
    """The version beside which it was read: what that one has learnt is not here."""
    labels: frozenset[str]
    spec: TaskSpec
    generation: int = 0
    by_text: dict[str, Corrected] = field(default_factory=dict)


class CorrectionBook:
    """Answers for a text that a trusted person has corrected. `of` is called from any thread, `refresh` from one at a time.

    A task has at most `consumers.defence.answering.MAX_CORRECTIONS` of them, which the daemon sees to.
    """

    def __init__(self, corrections: Corrections, statuses: Callable[[], Sequence[SlotStatus]], *, enabled: bool) -> None:
        """`statuses` tells which version answers for each task. Without `enabled` no correction ever answers."""
        self._corrections = corrections
        self._statuses = statuses
        self._enabled = enabled
        self._tasks: Mapping[str, TaskSpec] = {}
        self._known: Mapping[str, _Known] = {}
        self._told = ""
        self._turn = threading.Lock()
        self.looked_at = time.monotonic()
        """When `watch` last began to look, on the monotonic clock."""

    def use_tasks(self, tasks: Mapping[str, TaskSpec]) -> None:
        """Go by these task files from the next look on."""
        self._tasks = tasks

    def of(self, task: str, texts: Sequence[str]) -> dict[int, Corrected]:
        """Return the answers of corrections to these very texts, by their places; others are the model's."""
        known = self._known.get(task)
        if known is None or not known.by_text:
            return {}
        found = ((place, known.by_text.get(content_sha256(text))) for place, text in enumerate(texts))
        return {place: one for place, one in found if one is not None}

    def count(self, task: str) -> int:
        """Return for how many texts of a task a correction answers."""
        known = self._known.get(task)
        return len(known.by_text) if known else 0

    def refresh(self) -> None:
        """Read what has changed since the last look: corrections, or the version beside which they answer.

        Raises `RetryError` when the registry does not answer; what was read before stays.
        """
        if not self._enabled:
            return
        with self._turn:
            generations = self._corrections.generations()
            known: dict[str, _Known] = {}
            for status in self._statuses():
                spec = self._tasks.get(status.task)
                generation = generations.get(status.task)
                if status.serving is None or spec is None or generation is None or not spec.feedback.corrections_answer:
                    continue
                before = self._known.get(status.task)
                now = _Known(status.serving, status.labels, spec)
                if before is not None and (before.version, before.spec) == (now.version, now.spec):
                    if before.generation == generation.generation:
                        known[status.task] = before
                        continue
                    if before.generation >= generation.taken_away:
                        # Only new ones: they join those that are known, which are too many to be read for each.
                        now.generation, now.by_text = before.generation, before.by_text
                now.by_text |= self._read(now)
                now.generation = generation.generation
                known[status.task] = now
            self._known = known

    def watch(self, stop: threading.Event, interval_s: float) -> None:
        """Refresh every `interval_s` until `stop`; while the registry is away what was read last goes on."""
        while not stop.wait(interval_s):
            self.looked_at = time.monotonic()
            try:
                self.refresh()
            except PerennialError as error:
                if str(error) != self._told:
                    self._told = str(error)
                    log.warning("serving.corrections_unread", reason=self._told, next="those that were read last go on")
            else:
                self._told = ""

    def _read(self, known: _Known) -> dict[str, Corrected]:
        found = self._corrections.not_learnt_by(known.version, known.spec.name, after=known.generation)
        answers = [(one, answer_of(one, known.spec, known.labels)) for one in found]
        return {
            one.text_sha256: Corrected(one.event_id, answer, one.answers_since) for one, answer in answers if answer is not None
        }
