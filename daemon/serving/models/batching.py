"""Micro-batching: what waits while the model is busy is answered together; an idle model answers at once.

The model is given work in parts of bounded size. A request that has not had its turn goes before the rest of a large one, and
large ones take turns, so nobody waits for the whole of another's text. Each text is charged the time that its parts take.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from config.text_budget import budget_s
from daemon.serving.models.trouble import Trouble, trouble
from perennial_artifact.portions import MAX_CHARS, MAX_TEXTS, WHOLE_CHARS
from perennial_artifact.predictor import Answer, Divides, Predictor

MAX_WAITING_TEXTS = 4096
"""Texts that may wait for one model; beyond that a request is refused, so that memory stays bounded."""
MAX_WAITING_CHARS = 32_000_000
"""Characters that may wait: as many texts of the largest size would take gigabytes."""


class ClosedError(Exception):
    """This batcher takes nothing more: its model was swapped out. Ask the slot for the present one."""


class OverloadedError(Exception):
    """Too many texts wait for this model already."""


class OverTimeError(Exception):
    """One text of a request took more time than it may."""

    def __init__(self, text: int, spent_s: float, limit_s: float) -> None:
        super().__init__(
            f"text number {text} took {spent_s:.1f} s of the model's time and is not done; it may take {limit_s:.1f} s"
        )
        self.text = text


@dataclass(frozen=True, slots=True)
class _Part:
    """What is answered in one go: characters `start` to `end` of the request's text `number`, counted as `cost` characters."""

    number: int
    start: int
    end: int
    cost: int


class _Request:
    __slots__ = ("_answers", "_divider", "_handed_out", "_spent_s", "future", "parts", "texts")

    def __init__(self, texts: Sequence[str], divider: Divides | None) -> None:
        self.texts = list(texts)
        self._divider = divider
        self.parts = [part for number, text in enumerate(texts) for part in _parts(number, text, divider)]
        self._handed_out = 0
        self._answers: list[Answer] = []
        self._spent_s = [0.0] * len(texts)
        self.future: Future[list[Answer]] = Future()

    def rest(self) -> list[_Part]:
        return self.parts[self._handed_out :]

    def turn(self, room: int, chars: int) -> list[_Part]:
        """Return the next parts, at least one, up to both limits; the last part may exceed the limit of characters."""
        taken: list[_Part] = []
        for part in self.parts[self._handed_out : self._handed_out + max(room, 1)]:
            if chars <= 0 and taken:
                break
            taken.append(part)
            chars -= part.cost
        self._handed_out += len(taken)
        return taken

    def charge(self, parts: Sequence[_Part], s_per_char: float, text_time_s: float) -> None:
        """Count the time of answered parts. Fails the request when a text has further parts and no time left for them."""
        for part in parts:
            self._spent_s[part.number] += s_per_char * part.cost
        last = parts[-1]
        spent_s, chars = self._spent_s[last.number], len(self.texts[last.number])
        if last.end < chars and spent_s > (limit_s := budget_s(text_time_s, chars)):
            self.fail(OverTimeError(last.number, spent_s, limit_s))

    def extend(self, answers: Sequence[Answer]) -> None:
        self._answers.extend(answers)
        if len(self._answers) == len(self.parts) and self.future.set_running_or_notify_cancel():
            self.future.set_result(self._answers if self._divider is None else self._joined(self._divider))

    def fail(self, error: Exception) -> None:
        if not self.future.done() and self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)

    def _joined(self, divider: Divides) -> list[Answer]:
        starts: list[list[int]] = [[] for _text in self.texts]
        found: list[list[Answer]] = [[] for _text in self.texts]
        for part, answer in zip(self.parts, self._answers, strict=True):
            starts[part.number].append(part.start)
            found[part.number].append(answer)
        return [divider.join(*each) if len(each[0]) > 1 else each[1][0] for each in zip(starts, found, strict=True)]


def _parts(number: int, text: str, divider: Divides | None) -> list[_Part]:
    if divider is None:
        return [_Part(number, 0, len(text), min(len(text), WHOLE_CHARS))]
    return [_Part(number, start, end, end - start) for start, end in divider.divide(text)]


_Turn = tuple[_Request, list[_Part]]


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
    ) -> None:
        """`on_batch` receives the number of texts of every call to the model; `text_time_s` is per 10,000 characters."""
        self._predictor: Predictor | None = predictor
        self._on_batch = on_batch
        self._text_time_s = text_time_s
        self._elapsed = elapsed
        self._fresh: deque[_Request] = deque()
        """Requests that have not had a turn."""
        self._begun: deque[_Request] = deque()
        """Large ones that have had a turn; they take turns."""
        self._waiting_texts = 0
        self._waiting_chars = 0
        self._changed = threading.Condition()
        self._closed = False
        self._busy_since: float | None = None
        self._thread = threading.Thread(target=self._work, name=f"predict-{name}", daemon=True)
        self._thread.start()

    @property
    def waiting_texts(self) -> int:
        """Texts that wait at this moment."""
        return self._waiting_texts

    @property
    def waiting_chars(self) -> int:
        """Characters of the texts that wait at this moment."""
        return self._waiting_chars

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
        request = _Request(texts, predictor if isinstance(predictor, Divides) else None)
        chars = sum(map(len, texts))
        with self._changed:
            if self._closed:
                raise ClosedError
            too_many = self._waiting_texts + len(texts) > MAX_WAITING_TEXTS or self._waiting_chars + chars > MAX_WAITING_CHARS
            # A request that finds nobody waiting is taken, however large: its own limits are those of the interface.
            if self._waiting_texts and too_many:
                raise OverloadedError
            self._fresh.append(request)
            self._waiting_texts += len(texts)
            self._waiting_chars += chars
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

    def _next_batch(self) -> list[_Turn]:
        with self._changed:
            while True:
                batch = self._take()
                if batch:
                    self._busy_since = time.monotonic()
                    return batch
                if self._closed:
                    return []
                self._changed.wait()

    def _take(self) -> list[_Turn]:
        batch: list[_Turn] = []
        room, chars = MAX_TEXTS, MAX_CHARS
        if (begun := self._first(self._begun)) is not None:
            # A turn for one of the large ones, so that they advance however many come; half of the call is for new ones.
            share = 2 if self._fresh else 1
            batch.append(self._turn(begun, room // share, chars // share))
            room, chars = (room // 2, chars // 2) if share > 1 else (0, 0)
        while room > 0 and chars > 0 and (fresh := self._first(self._fresh)) is not None:
            batch.append(self._turn(fresh, room, chars))
            room -= len(batch[-1][1])
            chars -= sum(part.cost for part in batch[-1][1])
        for request, _parts in batch:
            if request.rest():
                self._begun.append(request)
        return batch

    def _first(self, waiting: deque[_Request]) -> _Request | None:
        while waiting:
            request = waiting.popleft()
            if not request.future.done():
                return request
            # Cancelled, or an earlier part of it failed.
            self._forget(request.rest())
        return None

    def _turn(self, request: _Request, room: int, chars: int) -> _Turn:
        parts = request.turn(room, chars)
        self._forget(parts)
        return request, parts

    def _forget(self, parts: Sequence[_Part]) -> None:
        self._waiting_texts -= sum(part.start == 0 for part in parts)
        self._waiting_chars -= sum(part.end - part.start for part in parts)

    def _answer(self, batch: Sequence[_Turn]) -> None:
        assert self._predictor is not None  # noqa: S101 - released only after the last batch
        texts = [request.texts[part.number][part.start : part.end] for request, parts in batch for part in parts]
        began = self._elapsed()
        try:
            answers = self._predictor.predict(texts)
            if len(answers) != len(texts):
                message = f"the model gave {len(answers)} answers to {len(texts)} texts"
                raise ValueError(message)  # noqa: TRY301 - the same as any other failure of the model
        except Exception as error:  # noqa: BLE001 - a model may raise anything; the caller gets it, the worker lives on
            if len(batch) == 1:
                batch[0][0].fail(error)
                return
            # One request's text must not fail its neighbours.
            for one in batch:
                self._answer([one])
            return
        s_per_char = (self._elapsed() - began) / max(1, sum(part.cost for _request, parts in batch for part in parts))
        self._on_batch(len(texts))
        for request, parts in batch:
            request.charge(parts, s_per_char, self._text_time_s)
            request.extend(answers[: len(parts)])
            answers = answers[len(parts) :]
