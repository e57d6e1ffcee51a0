"""A model in the app's own process that follows the champion: fetched, verified, loaded, warmed and swapped in."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from perennial_artifact import manifest
from perennial_artifact.abstaining import abstains
from perennial_artifact.errors import UnusableError
from perennial_artifact.formats import Opened
from perennial_artifact.keywords import Keywords, version_of
from perennial_artifact.memory import give_back
from perennial_artifact.portions import portions
from perennial_artifact.predictor import Answer
from perennial_client import loading
from perennial_client.cache import Cache
from perennial_client.calls import article_of, check_texts
from perennial_client.client import Client
from perennial_client.download import fetch
from perennial_client.errors import MissingExtraError, NoChampionError, PerennialError, RefusedError, UnavailableError, unusable
from perennial_client.results import Champion, Classified, Prediction

_LOOK_DEADLINE_S = 5.0
_LONGEST_BACKOFF_S = 600.0
_CLOSE_LIMIT_S = 5.0

log = logging.getLogger("perennial_client")


class _Live:
    """One loaded version; every caller that is predicting holds a reference."""

    def __init__(self, champion: Champion, precision: str, opened: Opened) -> None:
        self.champion = champion
        self.precision = precision
        self.opened = opened
        self._lock = threading.Lock()
        self.version = champion.version

    def answer(self, texts: Sequence[str]) -> list[Answer]:
        answers: list[Answer] = []
        for portion in portions(texts):
            # Between portions other threads get their turn.
            with self._lock:
                answers += self.opened.predictor.predict(portion)
        return answers

    def is_of(self, champion: Champion, precision: str) -> bool:
        return (self.champion.manifest_sha256, self.precision) == (champion.manifest_sha256, precision)


class _Listed:
    """A task's keywords, which answer while it has no champion."""

    def __init__(self, task: str, keywords: Keywords) -> None:
        self.version = version_of(task)
        self.keywords = keywords

    def answer(self, texts: Sequence[str]) -> list[Answer]:
        return [{**answer, "answered_by": "keywords"} for answer in self.keywords.predict(texts)]


@dataclass(frozen=True, slots=True)
class _Failure:
    """A champion that could not be used, and when it is tried again."""

    champion: Champion
    attempts: int
    retry_at: float  # on the monotonic clock

    def is_of(self, champion: Champion) -> bool:
        # A champion that was moved away and back is tried again at once.
        return (self.champion.version, self.champion.generation) == (champion.version, champion.generation)


class Model:
    """Answers as serving does, with the task's champion, and with its keywords while it has none. Thread-safe; a context manager.

    `follow` makes it, in the process that predicts: in a fork nothing follows.
    """

    def __init__(
        self, task: str, client: Client, cache: Cache, *, poll_s: float, precision: Literal["fp32", "bf16"] | None
    ) -> None:
        self.task = task
        self._client = client
        self._cache = cache
        self._poll_s = poll_s
        self._precision = precision
        self._live: _Live | None = None
        self._listed: _Listed | None = None
        # Of the task, not of the version: it changes with the task file, and under a model that stays.
        self._abstain_below = 0.0
        self._confirmed_at = time.monotonic()
        self._leaving: weakref.ref[_Live] | None = None
        self._failure: _Failure | None = None
        self._last_error: str | None = None
        self._trouble: type[PerennialError] | None = None
        self._looking = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"follow-{task}", daemon=True)

    @classmethod
    def follow(
        cls,
        task: str,
        *,
        client: Client,
        cache_dir: str | os.PathLike[str],
        poll_s: float = 10.0,
        wait_s: float = 60.0,
        precision: Literal["fp32", "bf16"] | None = None,
        keep: int = 2,
    ) -> Self:
        """Return a model that answers, and keep it the champion by looking every `poll_s` seconds.

        A task without a champion answers by its keywords, where its file lists any: predictions say so (`answered_by`).

        The last good version in `cache_dir` is there at once, without a server; where there is none, serving is asked for up to
        `wait_s` seconds (a download that has begun by then is finished). `precision` None: as serving computes. `keep` good
        versions stay in the cache. Raises `UnavailableError` when there is no model by then, `MissingExtraError` when a
        library is missing.
        """
        if keep < 1 or poll_s <= 0:
            message = f"keep is {keep} and poll_s is {poll_s}; give at least 1 version and seconds above 0"
            raise ValueError(message)
        model = cls(task, client, Cache(Path(cache_dir) / task, keep=keep), poll_s=poll_s, precision=precision)
        model._begin(wait_s)
        return model

    @property
    def version(self) -> str:
        """The version that answers, such as `news-topics/v17`; of keywords `TASK/keywords`."""
        return self._present().version

    @property
    def age_s(self) -> float:
        """Seconds since serving last said that this version is the champion, or of keywords that there is none.

        It grows while serving is away, and while a newer version cannot be used.
        """
        return time.monotonic() - self._confirmed_at

    @property
    def last_error(self) -> str | None:
        """Why the last check for a champion failed; None when it succeeded."""
        return self._last_error

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Return the answer to each text, in order, all by one version. Raises `RefusedError` for a text that serving refuses."""
        check_texts(texts)
        live = self._present()
        below = self._abstain_below
        return [
            Prediction.of(self.task, live.version, {**answer, "abstained": abstains(answer, below)})
            for answer in live.answer(texts)
        ]

    def classify(self, title: str, description: str = "") -> Classified:
        """Return score and tag of each category of a task of signals, for one text; `answered_by` tells who spoke.

        Raises `TypeError` for another kind of task, and as `predict` does.
        """
        [prediction] = self.predict([article_of(title, description)])
        prediction.signals  # noqa: B018 - raises where there are none
        return Classified(prediction)

    def refresh(self) -> bool:
        """Look at the champion now; fetch, load and swap when it has moved. Return whether the champion is what answers."""
        with self._looking:
            try:
                return self._look()
            except MissingExtraError:
                if self._live is None:
                    raise
                log.exception("task %s: the champion cannot be loaded here", self.task)
                return False

    def close(self) -> None:
        """Stop following; the model that is held keeps answering."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(_CLOSE_LIMIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _present(self) -> _Live | _Listed:
        live = self._live or self._listed
        assert live is not None  # noqa: S101 - `follow` returns no model without one
        return live

    def _begin(self, wait_s: float) -> None:
        self._load_cached()
        deadline = time.monotonic() + wait_s
        while self._live is None and not self.refresh() and self._listed is None:
            if time.monotonic() >= deadline:
                what = f"no model of task {self.task!r} could be loaded within {wait_s:g} s: {self._last_error}"
                if self._trouble is NoChampionError:
                    raise NoChampionError(what, "Model.follow", "work without a model for now, and call follow again later")
                raise UnavailableError(what, "Model.follow", "fix that, or use Client.predict for now")
            self._stop.wait(min(1.0, self._poll_s))
        self._thread.start()

    def _load_cached(self) -> None:
        for good in self._cache.good():
            try:
                self._live = self._load(good.champion)
            except MissingExtraError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever is wrong with this one, an older one or serving may help
                self._last_error = f"the cached {good.champion.version} cannot be used: {error or type(error).__name__}"
                log.warning("task %s: %s", self.task, self._last_error)
                continue
            self._abstain_below = good.champion.abstain_below
            self._confirmed_at = time.monotonic() - max(0.0, time.time() - good.confirmed_at)
            log.info("task %s: %s answers, from the cache", self.task, good.champion.version)
            return

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                self.refresh()
            except Exception as error:  # the thread must live on; what is loaded answers on
                self._last_error = f"checking the champion failed: {error or type(error).__name__}"
                log.exception("task %s: checking the champion failed", self.task)
            if self._leaving is not None and self._leaving() is None:
                self._leaving = None
                give_back()
            # Apps that were started together need not all ask together.
            self._stop.wait(self._poll_s * random.uniform(0.8, 1.2))  # noqa: S311 - spreads clients

    def _look(self) -> bool:
        asked_at = time.monotonic()
        try:
            champion = self._client.champion(self.task, deadline_s=min(_LOOK_DEADLINE_S, self._client.retries.deadline_s))
        except PerennialError as error:
            self._note_trouble(error)
            if isinstance(error, NoChampionError) and self._live is None:
                self._look_for_keywords(asked_at)
            return False
        self._abstain_below = champion.abstain_below
        try:
            if self._live is None or not self._live.is_of(champion, self._precision_of(champion)):
                if self._is_backing_off(champion):
                    return False
                loading.check(champion)
                fetch(self._client, champion, self._cache, self._stop)
                self._swap(self._load(champion))
        except UnavailableError as error:
            self._note_trouble(error)
            return False
        except Exception as error:  # whatever a broken version or a full disk raises, the old one answers on
            if self._stop.is_set():  # the client may be closed by now
                return False
            self._note_failure(champion, error)
            if isinstance(error, MissingExtraError):
                raise
            return False
        self._confirmed_at = asked_at
        self._failure = self._trouble = None
        self._last_error = self._confirm(champion)
        return True

    def _look_for_keywords(self, asked_at: float) -> None:
        """Let the task's keywords answer, where it has any; those that answer already go on where serving cannot be asked."""
        try:
            found = self._client.keywords(self.task, deadline_s=min(_LOOK_DEADLINE_S, self._client.retries.deadline_s))
        except RefusedError:
            # It has none, or serving is of a release that knows of none. Those that answer already go on: nothing else could.
            return
        except PerennialError as error:
            self._note_trouble(error)
            return
        if self._listed is None or self._listed.keywords != found:
            self._listed = _Listed(self.task, found)
            log.info("task %s: its keywords answer, because it has no champion", self.task)
        self._confirmed_at = asked_at

    def _load(self, champion: Champion) -> _Live:
        folder, precision = self._cache.folder(champion), self._precision_of(champion)
        try:
            manifest.verify(folder, sha256=champion.manifest_sha256)
        except UnusableError as error:
            # It is fetched again.
            self._cache.remove(champion)
            raise unusable(error, champion.version) from None
        before = self._live.opened if self._live is not None else None
        # Who asks for a precision means the weights in it.
        opened = loading.load(champion, folder, precision, before, variants=self._precision is None)
        return _Live(champion, precision, opened)

    def _swap(self, loaded: _Live) -> None:
        before, self._live, self._listed = self._live, loaded, None
        log.info("task %s: %s answers", self.task, loaded.champion.version)
        if (used := loaded.opened.used) is not None and used.passed_over is not None:
            log.warning("task %s: %s computes in %s: %s", self.task, loaded.champion.version, used.name, used.passed_over)
        # Predictions that have begun hold it until they end.
        self._leaving = None if before is None else weakref.ref(before)

    def _confirm(self, champion: Champion) -> str | None:
        """Note in the cache that the champion is good; return why that cannot be done."""
        try:
            self._cache.confirm(champion)
        except OSError as error:
            return f"{champion.version} answers, but the cache cannot record it ({error}); a restart may use an older one"
        return None

    def _precision_of(self, champion: Champion) -> str:
        return self._precision or champion.precision

    def _is_backing_off(self, champion: Champion) -> bool:
        failure = self._failure
        return failure is not None and failure.is_of(champion) and time.monotonic() < failure.retry_at

    def _note_failure(self, champion: Champion, error: Exception) -> None:
        known = self._failure is not None and self._failure.is_of(champion)
        attempts = self._failure.attempts + 1 if self._failure is not None and known else 1
        wait_s = min(_LONGEST_BACKOFF_S, 2.0**attempts)
        self._failure = _Failure(champion, attempts, time.monotonic() + wait_s)
        answering = f"{self._live.champion.version} answers on" if self._live else "nothing answers yet"
        self._last_error = (
            f"{champion.version} cannot be used: {error or type(error).__name__}; {answering}, and the next attempt is in "
            f"{wait_s:.0f} s at the earliest"
        )
        log.error("task %s: %s", self.task, self._last_error)

    def _note_trouble(self, error: PerennialError) -> None:
        self._last_error = str(error)
        # A server that is away for a day is logged once, not at every check.
        log.log(logging.WARNING if self._trouble is not type(error) else logging.DEBUG, "task %s: %s", self.task, error)
        self._trouble = type(error)
