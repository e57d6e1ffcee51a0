"""Micro-batching: what waits while the model is busy is answered together; an idle model answers at once.

The model is given work in calls of bounded size, and between two of them whoever is next has a turn (`schedule`). A part that
takes long by itself is interrupted between its steps for short requests. Each text is charged the time that its parts take.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import cast

from daemon.serving.models.pace import Pace
from daemon.serving.models.requests import OverTimeError, Request
from daemon.serving.models.schedule import Schedule, Turn
from daemon.serving.models.trouble import Trouble, trouble
from perennial_artifact.predictor import Answer, Divides, Pauses, Predictor

__all__ = ["Batcher", "ClosedError", "OverTimeError", "OverloadedError"]

MAX_WAITING_TEXTS = 4096
"""Texts that may wait for one model; beyond that a request is refused, so that memory stays bounded."""
MAX_WAITING_CHARS = 32_000_000
"""Characters that may wait: as many texts of the largest size would take gigabytes."""


class ClosedError(Exception):
    """This batcher takes nothing more: its model was swapped out. Ask the slot for the present one."""


class OverloadedError(Exception):
    """Too many texts wait for this model already."""


class _DroppedError(Exception):
    """Nobody waits any more for what is being computed."""


class Batcher:
    """Answers for one loaded model, on its own thread. Thread-safe; needs no event loop."""

    def __init__(
        self,
        predictor: Predictor,
        *,
        name: str,
        on_batch: Callable[[int], None] = lambda _texts: None,
        text_time_s: float = float("inf"),
        elapsed: Callable[[], float] = time.thread_time,
        pace: Pace | None = None,
    ) -> None:
        """`on_batch` receives the number of texts of every call to the model; `text_time_s` is per 10,000 characters.

        `pace` is what is known of the model's pace already; it learns from every call.
        """
        self._predictor: Predictor | None = predictor
        # Found once: whether an object has the methods of a protocol takes a tenth of a millisecond.
        self._divides = isinstance(predictor, Divides)
        self._pauses = isinstance(predictor, Pauses)
        self._on_batch = on_batch
        self._text_time_s = text_time_s
        self._elapsed = elapsed
        self._pace = pace or Pace()
        self._schedule = Schedule()
        self._aside_s = 0.0
        """What short requests have taken between the steps of the call that is being made."""
        self._changed = threading.Condition()
        self._closed = False
        self._busy_since: float | None = None
        self._thread = threading.Thread(target=self._work, name=f"predict-{name}", daemon=True)
        self._thread.start()

    @property
    def waiting_texts(self) -> int:
        """Texts that wait at this moment."""
        return self._schedule.texts

    @property
    def waiting_chars(self) -> int:
        """Characters of the texts that wait at this moment."""
        return self._schedule.chars

    def trouble(self) -> Trouble | None:
        """Return what is wrong with its thread; it ends only when it was closed."""
        since = self._busy_since
        return trouble(
            self._thread, "answers no more", ended=self._closed, silent_s=0.0 if since is None else time.monotonic() - since
        )

    def submit(self, texts: Sequence[str]) -> Future[list[Answer]]:
        """Return a future of one answer per text, in order. Raises `ClosedError` or `OverloadedError`.

        The future fails with `OverTimeError` when one of the texts took more than its time. Cancel it to drop what is not done.
        """
        predictor = self._predictor
        request = Request(texts, cast("Divides", predictor) if self._divides and predictor is not None else None)
        with self._changed:
            if self._closed:
                raise ClosedError
            waiting = self._schedule
            too_many = waiting.texts + len(texts) > MAX_WAITING_TEXTS or waiting.chars + request.chars > MAX_WAITING_CHARS
            # A request that finds nobody waiting is taken, however large: its own limits are those of the interface.
            if waiting.texts and too_many:
                raise OverloadedError
            waiting.add(request, self._pace.limit())
            self._changed.notify()
        return request.future

    def close(self) -> None:
        """Take nothing more; what was taken is still answered, then the model is released."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until a closed batcher has answered everything; return whether it has."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while batch := self._next_batch():
            self._answer(batch)
            self._busy_since = None
            # Otherwise the last batch's texts and answers live on while the model idles.
            del batch
        self._predictor = None

    def _next_batch(self) -> list[Turn]:
        with self._changed:
            while True:
                batch = self._schedule.next(self._pace.limit())
                if batch:
                    self._busy_since = time.monotonic()
                    return batch
                if self._closed:
                    return []
                self._changed.wait()

    def _answer_short_ones(self, batch: Sequence[Turn]) -> None:
        """Answer short requests that wait, between two steps of a call. Raises `_DroppedError` when nobody waits for `batch`."""
        if all(request.future.done() for request, _parts in batch):
            raise _DroppedError
        began = self._elapsed()
        with self._changed:
            short = self._schedule.next_short(self._pace.limit())
        self._busy_since = time.monotonic()
        if short:
            self._answer(short, may_pause=False)
            self._busy_since = time.monotonic()
            self._aside_s += self._elapsed() - began

    def _answer(self, batch: Sequence[Turn], *, may_pause: bool = True) -> None:
        texts = [request.texts[part.number][part.start : part.end] for request, parts in batch for part in parts]
        if may_pause:
            self._aside_s = 0.0
        began = self._elapsed()
        try:
            answers = self._asked(texts, batch, may_pause=may_pause)
            if len(answers) != len(texts):
                message = f"the model gave {len(answers)} answers to {len(texts)} texts"
                raise ValueError(message)  # noqa: TRY301 - the same as any other failure of the model
        except _DroppedError:
            return
        except Exception as error:  # noqa: BLE001 - a model may raise anything; the caller gets it, the worker lives on
            if len(batch) == 1:
                batch[0][0].fail(error)
                return
            # One request's text must not fail its neighbours.
            for one in batch:
                self._answer([one], may_pause=may_pause)
            return
        spent_s = self._elapsed() - began - (self._aside_s if may_pause else 0.0)
        cost = sum(part.cost for _request, parts in batch for part in parts)
        s_per_char = spent_s / max(1, cost)
        self._pace.note(cost, spent_s)
        self._on_batch(len(texts))
        for request, parts in batch:
            request.charge(parts, s_per_char, self._text_time_s)
            request.extend(answers[: len(parts)])
            answers = answers[len(parts) :]

    def _asked(self, texts: Sequence[str], batch: Sequence[Turn], *, may_pause: bool) -> list[Answer]:
        predictor = self._predictor
        assert predictor is not None  # noqa: S101 - released only after the last batch
        if may_pause and self._pauses:
            return cast("Pauses", predictor).predict_pausing(texts, lambda: self._answer_short_ones(batch))
        return predictor.predict(texts)
