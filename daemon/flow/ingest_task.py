"""One consumer at work: rewinds the log after a repair, ingests step by step, and asks now and then how far behind it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress

import structlog

from config.errors import PerennialError, RetryError
from config.settings import Settings
from config.tasks import TaskSpec
from consumers.buffer.writer import BufferWriter
from consumers.dead_letters.store import DeadLetters
from consumers.dead_letters.topic import DeadLetterTopic
from consumers.erasure.requests import Erasures
from consumers.ingest import Ingest
from consumers.log.protocols import EventLog, EventSink, EventSource
from daemon.telemetry.metrics import DaemonMetrics

log = structlog.get_logger(__name__)

STEP_LIMIT_S = 300.0
"""A step that takes longer hangs: the longest one waits for a compaction of the tables or for a broker's answers."""
DEADLINE_S = 60.0
"""While a step takes longer, the daemon is not ready: events wait, and whoever supervises it is to know why."""
_LAG_EVERY_S = 2.0


class IngestTask:
    """Moves one topic's events into the buffer. One thread calls `step`; `close` comes after it."""

    def __init__(
        self,
        group: str,
        topic: str,
        *,
        event_log: EventLog,
        buffer: BufferWriter,
        dead_letters: DeadLetters,
        erasures: Erasures,
        tasks: Callable[[], Mapping[str, TaskSpec]],
        settings: Settings,
        metrics: DaemonMetrics,
        gap: Callable[[str, int], None] = lambda _topic, _missing: None,
    ) -> None:
        """`gap` records that so many events of a topic were removed from the log before they were read."""
        self._gap = gap
        self._missing = 0
        self._group = group
        self._topic = topic
        self._event_log = event_log
        self._buffer = buffer
        self._dead_letters = dead_letters
        self._erasures = erasures
        self._tasks = tasks
        self._settings = settings
        self._metrics = metrics
        self._parts = ExitStack()
        self._open: tuple[EventSource, Ingest] | None = None
        self._lag_asked_at = float("-inf")
        self.unread: int | None = None
        """Events that waited in the log when it was last asked; None before it has answered."""

    def step(self) -> float:
        """Take the next events to durable rows; return the seconds to wait (it waits by itself where there is nothing to do).

        Raises `RetryError` when the log or the disk fails; nothing is lost.
        """
        source, ingest = self._open = self._open or self._opened()
        outcome = ingest.step()
        self._metrics.ingested(self._topic, outcome)
        self._record_gap(outcome.missing)
        if time.monotonic() - self._lag_asked_at >= _LAG_EVERY_S:
            # Also the proof that the log is there: Kafka's client returns nothing, and no error, when its broker has gone.
            lag = source.lag()
            self._metrics.log_answered(self._topic, lag)
            self.unread = sum(lag.values())
            self._lag_asked_at = time.monotonic()
        return 0.0

    def close(self) -> None:
        """Release the log; uncommitted events come again."""
        self._parts.close()

    def _record_gap(self, missing: int) -> None:
        self._missing += missing
        if not self._missing:
            return
        try:
            self._gap(self._topic, self._missing)
        except RetryError as error:
            # The alarm is in the log and the metrics already; ingest does not wait for the record.
            log.warning("ingest.gap_not_recorded", topic=self._topic, missing=self._missing, reason=str(error))
        else:
            self._missing = 0

    def _opened(self) -> tuple[EventSource, Ingest]:
        lost = {part: offset for part, offset in self._buffer.rewind.items() if part.topic == self._topic}
        if lost:
            self._event_log.rewind(self._group, lost)
            self._buffer.rewound(self._topic)
        source = self._event_log.source(self._group, [self._topic])
        self._parts.callback(source.close)
        topic = None
        if self._settings.events.backend == "kafka":
            # Beside the embedded log the file of dead letters is in everybody's reach already.
            sink = self._event_log.sink()
            self._parts.callback(_close_sink, sink)
            topic = DeadLetterTopic(sink)
        ingest = Ingest(
            source,
            self._buffer,
            self._dead_letters,
            erasures=self._erasures,
            tasks=self._tasks,
            settings=self._settings.ingest,
            data_dir=self._settings.data_dir,
            dead_letter_topic=topic,
        )
        return source, ingest


def _close_sink(sink: EventSink) -> None:
    # What the broker does not take now was not committed either: it comes again.
    with suppress(PerennialError):
        sink.close()
