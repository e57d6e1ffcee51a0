"""Micro-batching: what waits while the model is busy is answered together; an idle model answers at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from trainers.task import Answer, Predictor

MAX_BATCH_TEXTS = 32
"""Texts handed to the model in one call; a larger request is answered in parts, so that small ones pass between them."""
MAX_BATCH_CHARS = 50_000
"""Characters in one call, the last text's excess aside: long texts must not hold up short ones for seconds either."""
MAX_WAITING_TEXTS = 4096
"""Texts that may wait for one model; beyond that a request is refused, so that memory stays bounded."""
MAX_WAITING_CHARS = 32_000_000
"""Characters that may wait: as many texts of the largest size would take gigabytes."""


class ClosedError(Exception):
    """This batcher takes nothing more: its model was swapped out. Ask the slot for the present one."""


class OverloadedError(Exception):
    """Too many texts wait for this model already."""


class _Request:
    __slots__ = ("answers", "future", "texts")

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = list(texts)
        self.answers: list[Answer] = []
        self.future: Future[list[Answer]] = Future()

    def extend(self, answers: Sequence[Answer]) -> None:
        self.answers.extend(answers)
        if len(self.answers) == len(self.texts) and self.future.set_running_or_notify_cancel():
            self.future.set_result(self.answers)

    def fail(self, error: Exception) -> None:
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


_Part = tuple[_Request, list[str]]


class Batcher:
    """Answers for one loaded model, on a thread of its own. Thread-safe; needs no event loop."""

    def __init__(self, predictor: Predictor, *, name: str, on_batch: Callable[[int], None] = lambda _texts: None) -> None:
        """`on_batch` is told the number of texts of every call to the model."""
        self._predictor: Predictor | None = predictor
        self._on_batch = on_batch
        self._waiting: deque[tuple[_Request, int]] = deque()  # request, how many of its texts were handed out
        self._waiting_texts = 0
        self._waiting_chars = 0
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=f"predict-{name}", daemon=True)
        self._thread.start()

    @property
    def waiting_texts(self) -> int:
        """Texts that wait at this moment."""
        return self._waiting_texts

    def submit(self, texts: Sequence[str]) -> Future[list[Answer]]:
        """Return a future of one answer per text, in order. Raises `ClosedError` or `OverloadedError`."""
        request = _Request(texts)
        chars = sum(map(len, texts))
        with self._changed:
            if self._closed:
                raise ClosedError
            too_many = self._waiting_texts + len(texts) > MAX_WAITING_TEXTS or self._waiting_chars + chars > MAX_WAITING_CHARS
            # A request that finds nobody waiting is taken, however large: its own limits are those of the interface.
            if self._waiting_texts and too_many:
                raise OverloadedError
            self._waiting.append((request, 0))
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
            # Otherwise the last batch's texts and answers live on while the model idles.
            del batch
        self._predictor = None

    def _next_batch(self) -> list[_Part]:
        with self._changed:
            while True:
                batch = self._take()
                if batch:
                    return batch
                if self._closed:
                    return []
                self._changed.wait()

    def _take(self) -> list[_Part]:
        batch: list[_Part] = []
        room, chars = MAX_BATCH_TEXTS, MAX_BATCH_CHARS
        while self._waiting and room > 0 and chars > 0:
            request, done = self._waiting.popleft()
            texts = request.texts
            if request.future.done():  # cancelled, or an earlier part of it failed
                self._waiting_texts -= len(texts) - done
                self._waiting_chars -= sum(map(len, texts[done:]))
                continue
            end = done
            while end < len(texts) and room > 0 and chars > 0:
                chars -= len(texts[end])
                room -= 1
                end += 1
            batch.append((request, texts[done:end]))
            self._waiting_texts -= end - done
            self._waiting_chars -= sum(map(len, texts[done:end]))
            if end < len(texts):
                # To the end of the line: requests that came meanwhile need not wait for the whole of a large one.
                self._waiting.append((request, end))
                break
        return batch

    def _answer(self, batch: Sequence[_Part]) -> None:
        assert self._predictor is not None  # noqa: S101 - released only after the last batch
        texts = [text for _request, part in batch for text in part]
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
        self._on_batch(len(texts))
        for request, part in batch:
            request.extend(answers[: len(part)])
            answers = answers[len(part) :]
