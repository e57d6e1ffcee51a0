"""Answers become `prediction` events in the background: serving never waits for the log, and memory stays bounded."""

from __future__ import annotations

import threading
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Container, Sequence
from datetime import datetime

import structlog

from config.clock import Clock, utc_now
from config.errors import PerennialError
from config.kinds import catalog as kinds
from consumers.events.schemas import PREDICTIONS_TOPIC, PredictionMade, to_bytes
from consumers.log.protocols import EventSink
from daemon.serving.models.trouble import Trouble, trouble
from perennial_artifact.keywords import is_version_of_keywords
from perennial_artifact.predictor import Answer

_MAX_WAITING = 20_000
_MAX_WAITING_CHARS = 32_000_000
_MAX_RECENT = 5_000
_MAX_RECENT_CHARS = 8_000_000
_BATCH = 500
_GATHER_S = 0.05
_RETRY_S = 1.0
_WARN_EVERY_S = 30.0
_MAKE_ROOM = "free space on the disk, or release the file named here"
_NEXT_VERSION = "nothing to do: the task's kind was changed, and the next promoted version fits it"

log = structlog.get_logger(__name__)


class PredictionLog:
    """A bounded queue that one thread empties into the event log.

    When the log takes nothing, predictions are still answered: the queue fills, then further ones go unlogged. Each is
    counted through `on_unlogged` and the loss is logged once per 30 s; feedback that cites such a prediction after
    `recent` has forgotten it must carry its text. `close` empties the queue first, within a time limit.
    """

    def __init__(
        self, sink: EventSink, *, max_event_bytes: int, on_unlogged: Callable[[int], None] = lambda _count: None,
        clock: Clock = utc_now,
    ) -> None:  # fmt: skip
        self._sink = sink
        self._max_event_bytes = max_event_bytes
        self._on_unlogged = on_unlogged
        self._clock = clock
        self._waiting: deque[PredictionMade] = deque()
        self._waiting_chars = 0
        self._recent: OrderedDict[str, PredictionMade] = OrderedDict()
        self._recent_chars = 0
        self._changed = threading.Condition()
        self._closing = False
        self._turned_at = time.monotonic()
        self._idle = True  # the thread holds nothing that is not durable
        self._unlogged = 0
        self._warned_at = -_WARN_EVERY_S
        self._thread = threading.Thread(target=self._work, name="prediction-log", daemon=True)
        self._thread.start()

    def add(
        self, task: str, version: str, texts: Sequence[str], answers: Sequence[Answer], article_id: str | None = None, *,
        kind: str | None = None, corrected: Container[int] = (),
    ) -> list[str]:  # fmt: skip
        """Take one answered request; return the id of each prediction. Never blocks on the log.

        `corrected` are the places of the texts that a correction answered in the model's place.

        With `kind`, that of the task, answers of another are not logged: their champion is from before the task was changed, and
        ingest would take each for a mistake.
        """
        now = self._clock()
        made = [
            _event(text, answer, task=task, version=version, article_id=article_id, now=now, corrected=place in corrected)
            for place, (text, answer) in enumerate(zip(texts, answers, strict=True))
        ]
        with self._changed:
            for one in made:
                self._remember(one)
                if kind is not None and kinds.get(kind).key not in one.answer:
                    self._count_unlogged(f"{version} does not answer what a task of kind {kind} asks", remedy=_NEXT_VERSION)
                    continue
                if len(self._waiting) >= _MAX_WAITING or self._waiting_chars + len(one.text) > _MAX_WAITING_CHARS:
                    self._count_unlogged("the event log accepts nothing at the moment, and the queue is full")
                    continue
                self._waiting.append(one)
                self._waiting_chars += len(one.text)
            self._changed.notify()
        return [one.prediction_id for one in made]

    def recent(self, prediction_id: str) -> PredictionMade | None:
        """Return a prediction this process made lately, so that feedback on it is checked at once and takes its text along."""
        with self._changed:
            return self._recent.get(prediction_id)

    def waiting(self) -> int:
        """Return how many predictions are not in the log yet."""
        return len(self._waiting)

    def trouble(self) -> Trouble | None:
        """Return what is wrong with the thread that writes."""
        return trouble(self._thread, "logs no predictions", ended=self._closing, silent_s=time.monotonic() - self._turned_at
                       if self._waiting else 0.0)  # fmt: skip

    def close(self, timeout_s: float) -> bool:
        """Write what waits, for at most `timeout_s`; return whether all of it became durable."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)
        with self._changed:
            lost = len(self._waiting)
            if lost:
                reason = f"the event log accepted nothing for {timeout_s:.0f} s"
                log.error("serving.predictions_lost_at_stop", count=lost, reason=reason)
            return not lost and self._idle

    def _work(self) -> None:
        flushed = True
        while True:
            self._turned_at = time.monotonic()
            with self._changed:
                while not self._waiting and not self._closing and flushed:
                    self._changed.wait()
                if self._closing and not self._waiting and flushed:
                    return
                closing = self._closing
                self._turned_at = time.monotonic()
            if not closing:
                # One durable write costs as much for many events as for one.
                time.sleep(_GATHER_S)
            try:
                self._publish()
                self._sink.flush()
                flushed = True
                with self._changed:
                    self._idle = not self._waiting
            except (PerennialError, OSError) as error:
                # What the sink has taken stays with it and goes out with the next flush.
                flushed = False
                self._warn(f"the event log accepts nothing at the moment: {error}")
                with self._changed:
                    self._changed.wait(_RETRY_S)

    def _publish(self) -> None:
        for _ in range(_BATCH):
            with self._changed:
                if not self._waiting:
                    return
                self._idle = False
                one = self._waiting[0]
            value = to_bytes(one)
            if len(value) <= self._max_event_bytes:
                self._sink.publish(PREDICTIONS_TOPIC, value, key=one.prediction_id.encode())
            with self._changed:
                # Only this thread takes from the front.
                self._waiting.popleft()
                self._waiting_chars -= len(one.text)
                if len(value) > self._max_event_bytes:
                    self._count_unlogged(f"its event is larger than ingest.max_event_bytes ({self._max_event_bytes})")

    def _remember(self, one: PredictionMade) -> None:
        self._recent[one.prediction_id] = one
        self._recent_chars += len(one.text)
        while len(self._recent) > _MAX_RECENT or self._recent_chars > _MAX_RECENT_CHARS:
            _id, oldest = self._recent.popitem(last=False)
            self._recent_chars -= len(oldest.text)

    def _count_unlogged(self, reason: str, *, remedy: str = _MAKE_ROOM) -> None:
        self._unlogged += 1
        self._on_unlogged(1)
        self._warn(reason, remedy=remedy)

    def _warn(self, reason: str, *, remedy: str = _MAKE_ROOM) -> None:
        if time.monotonic() - self._warned_at >= _WARN_EVERY_S:
            self._warned_at = time.monotonic()
            log.warning(
                "serving.predictions_unlogged", count=self._unlogged, waiting=len(self._waiting), reason=reason,
                next="predictions are still answered; feedback that cites an unlogged one must carry its text",
                remedy=remedy,
            )  # fmt: skip


def _event(
    text: str, answer: Answer, *, task: str, version: str, article_id: str | None, now: datetime, corrected: bool
) -> PredictionMade:
    prediction_id = f"p-{uuid.uuid4().hex}"
    # Everything here was validated with the request; building without validation keeps it off the answer's time.
    return PredictionMade.model_construct(
        event_id=prediction_id, occurred_at=now, source="serving", prediction_id=prediction_id, task=task,
        model_version=version, article_id=article_id, text=text, answer=dict(answer),
        answered_by="correction" if corrected else "keywords" if is_version_of_keywords(version) else None,
    )  # fmt: skip
