"""What became of one feedback event, from the acknowledgements, the buffer's ledger, the dead letters and the registry."""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from config.errors import PerennialError
from config.settings import Settings
from config.tasks import TaskSpec, load_tasks
from consumers.dead_letters.store import DeadLetters
from daemon.flow.accepted import Accepted, AcceptedFeedback
from daemon.views import opening
from daemon.views.feedback.corrections import Answers
from daemon.views.feedback.overview import FeedbackFate, Progress
from registry.artifacts.open import open_store
from registry.artifacts.protocol import ArtifactStore
from registry.store import Registry

if TYPE_CHECKING:  # LanceDB is slow to import and only a question about feedback needs it
    from consumers.buffer.reader import BufferReader
    from consumers.rows.ledger import Fate
    from consumers.training_set.fate import Explanation

_QUEUED = "it is safe in the event log and will be stored soon"
_HELD_OUT = "its story is reserved for testing, so no model learns from it"

_LOOK_S = 2.0

log = structlog.get_logger(__name__)


class Fates:
    """Says what became of an event: `perennial feedback show`, `GET /v1/feedback/{id}`.

    Thread-safe; blocks on files, so it is called off the event loop.
    """

    def __init__(
        self,
        accepted: AcceptedFeedback,
        dead_letters: DeadLetters,
        registry: Registry,
        artifacts: ArtifactStore,
        open_buffer: Callable[[], BufferReader | None],
    ) -> None:
        """`open_buffer` opens the buffer for reading, or returns None while there is none."""
        self._accepted = accepted
        self._dead_letters = dead_letters
        self._registry = registry
        self._artifacts = artifacts
        self._open_buffer = open_buffer
        self._buffer: BufferReader | None = None
        self._tasks: Mapping[str, TaskSpec] | None = None
        self._closed = False
        self._told = ""
        self._lock = threading.Lock()

    def of(self, event_id: str) -> FeedbackFate | None:
        """Return the fate; None when the event is unknown. Raises `RetryError` when a file cannot be read now."""
        event_id = unicodedata.normalize("NFC", event_id)
        accepted = self._accepted.get(event_id)
        stored = self._stored(event_id, accepted)
        if stored is not None:
            return stored.model_copy(update=self._answer_of(stored.event_id))
        if accepted is None:
            return None
        letter = self._dead_letters.find(accepted.value_sha256)
        if letter is not None and letter.replayed_at is None:
            reason = f"{letter.reason} (dead letter {letter.id}; once fixed: `perennial dlq replay {letter.id}`)"
            return _fate(event_id, accepted.task, "dead_letter", reason, accepted)
        return _fate(event_id, accepted.task, "queued", _QUEUED, accepted)

    def progress(self, event_id: str, task: str) -> Progress:
        """Return how far an event has come, as the registry alone tells: costs no look into the buffer. Raises `RetryError`."""
        event_id = unicodedata.normalize("NFC", event_id)
        alias = self._registry.versions.champion(task)
        learners = self._registry.versions.who_learnt(task, [event_id])
        champion = alias.version if alias else None
        return Progress(
            **self._answer_of(event_id),
            learnt_in=learners[0] if learners else None,
            in_champion=bool(learners) and self._descends_from(champion, learners),
        )

    def was_acknowledged(self, event_id: str) -> bool:
        """Return whether serving accepted the event recently, without reading the buffer. Raises `RetryError` as `of` does."""
        return self._accepted.get(unicodedata.normalize("NFC", event_id)) is not None

    def use_tasks(self, tasks: Mapping[str, TaskSpec]) -> None:
        """Use these task files from now on."""
        with self._lock:
            self._tasks = tasks
            if self._buffer is not None:
                self._buffer.use_tasks(tasks)

    def open_soon(self, stop: threading.Event) -> None:
        """Open the buffer once there is one, so that the first question need not wait for it."""
        while self._buffer is None:
            with self._lock:
                self._open()
            if stop.wait(_LOOK_S):
                return

    def close(self) -> None:
        """Release the buffer."""
        with self._lock:
            self._closed = True
            if self._buffer is not None:
                self._buffer.close()

    def _open(self) -> None:
        if self._buffer is not None or self._closed:
            return
        try:
            self._buffer = self._open_buffer()
            if self._buffer is not None and self._tasks is not None:
                self._buffer.use_tasks(self._tasks)
        except PerennialError as error:
            if str(error) != self._told:
                self._told = str(error)
                log.warning("serving.buffer_unreadable", reason=self._told, next="fates are answered without it")

    def _stored(self, event_id: str, accepted: Accepted | None) -> FeedbackFate | None:
        with self._lock:
            self._open()
            if self._buffer is None:
                return None
            ledger = self._buffer.feedback_fate(event_id)
            if ledger is None or ledger.status == "queued":
                return None
            explanation = self._buffer.explain(ledger)
        if ledger.status == "joined":
            return self._joined(ledger, explanation, accepted)
        reason = explanation.reason or (_HELD_OUT if ledger.status == "held_out" else ledger.status)
        return _fate(event_id, ledger.task, ledger.status, reason, accepted, example_id=ledger.example_id)

    def _joined(self, ledger: Fate, explanation: Explanation, accepted: Accepted | None) -> FeedbackFate:
        event_id, task, versions = ledger.event_id, ledger.task, self._registry.versions
        alias = versions.champion(task)
        champion = alias.version if alias else None
        example_id = ledger.example_id or event_id
        # A training set takes one row per text. All who gave the same answer count as learnt, whoever's row was taken.
        learners = versions.who_learnt(task, explanation.same_answer)
        if not learners:
            status = explanation.status
            return _fate(event_id, task, status, explanation.reason, accepted, example_id=example_id, champion=champion)
        inside = self._descends_from(champion, learners)
        reason = f"{self._used_in(learners[0], champion, inside=inside)} "
        if explanation.status != "joined":
            reason += f"Now {explanation.reason}."
        elif inside:
            reason += "Later runs use it too."
        else:
            reason += f"It takes part again in the next run{self._due(task)}."
        return _fate(
            event_id, task, "learnt", reason, accepted,
            example_id=example_id, learnt_in=learners[0], in_champion=inside, champion=champion,
        )  # fmt: skip

    def _answer_of(self, event_id: str) -> dict[str, Any]:
        found = self._registry.corrections.of_event(event_id)
        if found is None:
            return {"answers_since": None, "answers": False}
        answers = Answers(self._registry, self._artifacts, self._tasks or {}).answers(found)
        return {"answers_since": found.answers_since, "answers": answers}

    def _due(self, task: str) -> str:
        policy = self._tasks[task].trigger if self._tasks is not None and task in self._tasks else None
        if policy is None:
            return ""
        return f" (due after {policy.min_new_examples} new examples{' or with the weekly run' if policy.weekly else ''})"

    def _used_in(self, learner: str, champion: str | None, *, inside: bool) -> str:
        if learner == champion:
            return f"Used in {learner}, the live model."
        if inside:
            return f"Used in {learner}, on which the live model ({champion}) is based."
        run = self._registry.runs.find(self._registry.versions.get(learner).run_id)
        gain = float((run.comparison or {}).get("gain", 0.0)) if run else 0.0
        why = {
            "keep": "was not better than the live model" if gain <= 0.0 else "was not promoted",
            "insufficient_evidence": "could not be promoted for lack of test rows",
            "promote": "is no longer the live model",
        }.get((run.verdict if run else None) or "", "is not the live model")
        return f"Used in {learner}, which {why}{f' ({champion})' if champion else ''}."

    def _descends_from(self, version: str | None, learners: Sequence[str]) -> bool:
        while version is not None and version not in learners:
            version = self._registry.versions.get(version).parent
        return version is not None


@contextmanager
def opened(settings: Settings, tasks: Mapping[str, TaskSpec] | None = None) -> Iterator[Fates]:
    """Open all sources of the answers; `tasks` are those in force where somebody knows them.

    Raises `UserError` where nothing has run yet; then nothing is created.
    """
    tasks = load_tasks(settings.tasks_folder) if tasks is None else tasks
    with ExitStack() as stack:
        buffer = stack.enter_context(opening.buffer(settings, tasks))
        keep = timedelta(days=settings.events.retention_days)
        accepted = stack.enter_context(closing(AcceptedFeedback(settings.accepted_feedback_file, keep=keep)))
        dead_letters = stack.enter_context(closing(DeadLetters(settings.dead_letter_file)))
        registry = stack.enter_context(Registry.open(settings.registry_url, read_only=True))
        fates = Fates(accepted, dead_letters, registry, open_store(settings.artifacts_dir), lambda: buffer)
        fates.use_tasks(tasks)
        yield fates


def _fate(event_id: str, task: str, status: str, reason: str, accepted: Accepted | None, **more: object) -> FeedbackFate:
    fields = {"event_id": event_id, "task": task, "status": status, "reason": reason, **more}
    return FeedbackFate.model_validate({**fields, "accepted_at": accepted.accepted_at if accepted else None})
