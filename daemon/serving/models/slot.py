"""One task's place in the serving process: follows the champion alias, loads beside the old model, swaps, drains."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

import structlog

from config.clock import Clock, utc_now
from config.tasks import TaskSpec
from daemon.flow.answering import labels_of
from daemon.serving.models.batching import Batcher, ClosedError
from daemon.serving.models.pace import Pace
from daemon.serving.models.trouble import Trouble
from perennial_artifact.compute import Used
from perennial_artifact.formats import Opened
from perennial_artifact.keywords import Keywords, is_version_of_keywords, version_of
from perennial_artifact.memory import give_back
from perennial_artifact.predictor import Answer
from perennial_artifact.warming import warm

DRAIN_LIMIT_S = 60.0
MAX_BACKOFF_S = 60.0

log = structlog.get_logger(__name__)

Load = Callable[[Path, Opened | None], Opened]
"""Opens a verified folder, after the model that answers now."""


@dataclass(frozen=True, slots=True)
class Champion:
    """Where a task's champion alias points: the version, its verified place, and the alias's generation."""

    version: str
    generation: int
    artifact_id: str
    manifest_sha256: str


class ChampionSource(Protocol):
    """What a slot asks of the registry and the artifact store."""

    def champion(self, task: str) -> Champion | None:
        """Return where the alias points now; None when the task has no champion."""
        ...

    def verified_folder(self, champion: Champion) -> Path:
        """Return the model's folder, every file checked against its manifest. Raises `RunFailedError`."""
        ...


class NoModelError(Exception):
    """The task has no loaded model, nor keywords that answer in its place."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The result of one check of the alias."""

    kind: Literal["unchanged", "no_champion", "swapped", "failed", "backing_off", "unreadable"]
    version: str | None = None
    load_s: float = 0.0
    reason: str | None = None
    generation: int | None = None
    """Of the alias, where the model that it names answers."""
    used: Used | None = None
    """What the model that was swapped in computes by."""


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """What a slot says of itself."""

    task: str
    looked: bool
    """Whether the registry was read at least once."""
    champion: str | None
    serving: str | None
    generation: int | None
    loaded_at: datetime | None
    failure: str | None
    """Why the champion could not be loaded, while that lasts."""
    waiting_texts: int = 0
    labels: frozenset[str] = frozenset()
    """What the served version may answer with, as it says itself."""
    used: Used | None = None
    """What it computes by: a variant of its encoder, or the precision of its weights; None where it does not tell."""

    @property
    def waits_for_nothing(self) -> bool:
        """Whether the registry was read and names no champion."""
        return self.looked and self.champion is None

    @property
    def ready(self) -> bool:
        """Whether a model answers, or none is expected to."""
        return self.serving is not None or self.waits_for_nothing


@dataclass(frozen=True, slots=True)
class _Live:
    version: str
    generation: int
    loaded_at: datetime
    batcher: Batcher
    labels: frozenset[str]
    used: Used | None = None

    @property
    def is_model(self) -> bool:
        """Whether it is no task's keywords."""
        return not is_version_of_keywords(self.version)


@dataclass(frozen=True, slots=True)
class _Failure:
    generation: int
    reason: str
    attempts: int
    retry_at: float  # on the monotonic clock


class Slot:
    """Serves one task: with its champion, and with the task's keywords while there is none or none can be loaded.

    `predict` and `close` are thread-safe; `refresh` is called by one thread, normally `watch`.

    `spec` is replaced when the task file was changed: what is shown follows at once; models are what their own files say.
    """

    def __init__(
        self, spec: TaskSpec, source: ChampionSource, load: Load, *, clock: Clock = utc_now,
        on_batch: Callable[[int], None] = lambda _texts: None, text_time_s: float = float("inf"),
    ) -> None:  # fmt: skip
        """`load` opens a model folder, given what is open already; `on_batch` is told the texts of every call to a model.

        `text_time_s` is what 10,000 characters of one text may take of the model's time.
        """
        self.spec = spec
        self._source = source
        self._load = load
        self._clock = clock
        self._on_batch = on_batch
        self._text_time_s = text_time_s
        self._live: _Live | None = None
        # Not with the batcher: an old model must be nobody's while its batcher drains, or its memory comes back late.
        self._opened: Opened | None = None
        self._s_per_char = 0.0
        """The pace of the model that was warmed last."""
        self._keywords: Keywords | None = None
        """Those that `_live` answers by."""
        self._champion: Champion | None = None
        self._failure: _Failure | None = None
        self._looked = False
        self._closed = False
        self._swapping = threading.Lock()

    def version(self) -> str:
        """Return the version that answers now, or what stands for the task's keywords. Raises `NoModelError` when none does."""
        if (live := self._live) is None:
            raise NoModelError
        return live.version

    def predict(self, texts: Sequence[str]) -> tuple[str, Future[list[Answer]]]:
        """Return the version that answers and a future of one answer per text, as `Batcher.submit` does.

        Raises `NoModelError` when nothing is loaded and `batching.OverloadedError` when too much waits.
        """
        while True:
            live = self._live
            if live is None:
                raise NoModelError
            try:
                return live.version, live.batcher.submit(texts)
            except ClosedError:
                # Swapped out between the two lines above. The new reference was set before the old one was
                # closed, so the next look finds another model, or none when the process is stopping.
                if self._live is live:
                    raise NoModelError from None

    def status(self) -> SlotStatus:
        """Return what this slot serves and why it may not serve the champion."""
        live, champion, failure = self._live, self._champion, self._failure
        if live is not None and not live.is_model:
            live = None
        return SlotStatus(
            task=self.spec.name,
            looked=self._looked,
            champion=champion.version if champion else None,
            serving=live.version if live else None,
            generation=live.generation if live else None,
            loaded_at=live.loaded_at if live else None,
            failure=failure.reason if failure else None,
            waiting_texts=live.batcher.waiting_texts if live else 0,
            labels=live.labels if live else frozenset(),
            used=live.used if live else None,
        )

    def trouble(self) -> Trouble | None:
        """Return what is wrong with the thread that answers."""
        live = self._live
        return live.batcher.trouble() if live is not None else None

    def refresh(self) -> Refreshed:
        """Look at the alias once; load, warm and swap when it has moved. A failure leaves the old model serving."""
        champion = self._source.champion(self.spec.name)
        self._champion, self._looked = champion, True
        if champion is None:
            self._answer_by_keywords()
            return Refreshed("no_champion")
        if self._live is not None and self._live.version == champion.version:
            # The alias may have moved away and back, past a version that could not be loaded.
            self._failure = None
            return Refreshed("unchanged", champion.version, generation=champion.generation)
        failure = self._failure
        if failure is not None and failure.generation == champion.generation and time.monotonic() < failure.retry_at:
            return Refreshed("backing_off", champion.version, reason=failure.reason)
        started = time.monotonic()
        try:
            opened, labels = self._load_and_warm(champion)
        except Exception as error:  # noqa: BLE001 - whatever a broken model raises, the old one must serve on
            return self._note_failure(champion, error)
        with self._swapping:
            if self._closed:
                # While it was loaded its task was dropped, or the process began to stop.
                return Refreshed("unchanged")
            batcher = Batcher(
                opened.predictor, name=champion.version, on_batch=self._on_batch, text_time_s=self._text_time_s,
                pace=Pace(self._s_per_char),
            )  # fmt: skip
            old, self._live = (
                self._live,
                _Live(champion.version, champion.generation, self._clock(), batcher, labels, opened.used),
            )
            self._opened, self._keywords = opened, None
        self._failure = None
        outcome = Refreshed(
            "swapped", champion.version, load_s=time.monotonic() - started, generation=champion.generation, used=opened.used
        )
        log.info("serving.model_swapped", task=self.spec.name, version=champion.version, load_s=round(outcome.load_s, 3),
                 before=old.version if old else None, **_told(opened.used))  # fmt: skip
        if old is not None:
            self._drain(old)
        return outcome

    def watch(self, stop: threading.Event, interval_s: float, report: Callable[[str, Refreshed], None]) -> None:
        """Refresh every `interval_s` until `stop` is set; every outcome goes to `report(task, outcome)`."""
        while True:
            try:
                outcome = self.refresh()
            except Exception as error:  # noqa: BLE001 - the registry cannot be read now; what is loaded keeps serving
                reason = f"the registry cannot be read: {error}; the loaded model keeps serving; next look in {interval_s} s"
                log.warning("serving.registry_unreadable", task=self.spec.name, reason=reason)
                outcome = Refreshed("unreadable", reason=reason)
            report(self.spec.name, outcome)
            if stop.wait(interval_s):
                return

    def close(self, timeout_s: float = DRAIN_LIMIT_S) -> None:
        """Answer what was taken and release the model; nothing is loaded any more."""
        with self._swapping:
            self._closed = True
            live = self._live
        if live is not None:
            live.batcher.close()
            live.batcher.join(timeout_s)
            self._live = self._opened = None

    def _load_and_warm(self, champion: Champion) -> tuple[Opened, frozenset[str]]:
        folder = self._source.verified_folder(champion)
        opened = self._load(folder, self._opened)
        s_per_char = warm(opened.predictor, shares=opened.shares)
        if not opened.shares:
            # One call with one text tells little; what is shared is as quick as before.
            self._s_per_char = s_per_char
        return opened, labels_of(folder)

    def _answer_by_keywords(self) -> None:
        """Let the keywords of the task file answer, where it has any and no model does."""
        keywords = self.spec.keywords
        with self._swapping:
            old = self._live
            if self._closed or keywords == self._keywords or (old is not None and old.is_model):
                return
            live = None
            if keywords is not None:
                version = version_of(self.spec.name)
                batcher = Batcher(keywords, name=version, on_batch=self._on_batch, text_time_s=self._text_time_s)
                live = _Live(version, 0, self._clock(), batcher, frozenset())
            # Once, when all is made: meanwhile the earlier ones answer.
            self._live, self._keywords = live, keywords
        log.info("serving.keywords_answer", task=self.spec.name, rules=len(keywords.rules) if keywords is not None else 0)
        if old is not None:
            self._drain(old)

    def _note_failure(self, champion: Champion, error: Exception) -> Refreshed:
        same = self._failure is not None and self._failure.generation == champion.generation
        attempts = self._failure.attempts + 1 if self._failure is not None and same else 1
        wait_s = min(MAX_BACKOFF_S, 2.0 ** (attempts - 1))
        serving = self._live.version if self._live else "No model"
        reason = (
            f"{champion.version} cannot be served: {error or type(error).__name__}. {serving} keeps serving; next attempt in "
            f"{wait_s:.0f} s. Restore the artifact, or roll back with `perennial models rollback {self.spec.name}`"
        )
        self._failure = _Failure(champion.generation, reason, attempts, time.monotonic() + wait_s)
        log.error("serving.model_load_failed", task=self.spec.name, version=champion.version, attempts=attempts, reason=reason)
        if self._live is None:
            self._answer_by_keywords()
        return Refreshed("failed", champion.version, reason=reason)

    def _drain(self, old: _Live) -> None:
        old.batcher.close()
        if not old.batcher.join(DRAIN_LIMIT_S):
            log.warning("serving.model_drain_slow", task=self.spec.name, version=old.version, limit_s=DRAIN_LIMIT_S)
        give_back()


def _told(used: Used | None) -> dict[str, str]:
    """Return what a log line says of what a model computes by."""
    if used is None:
        return {}
    return {"computes_by": used.name} | ({"passed_over": used.passed_over} if used.passed_over else {})
