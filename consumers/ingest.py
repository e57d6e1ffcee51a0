"""Ingest: poll -> parse -> buffer or dead letter -> make durable -> commit. The order is what keeps events from being lost."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from config.clock import Clock, utc_now
from config.errors import DeadLetterError, RetryError
from config.files.durable import free_bytes
from config.sections import IngestSettings
from config.tasks import TaskSpec
from consumers.buffer.protocols import EventStore
from consumers.dead_letters.store import PREFIX_BYTES, DeadLetters, Rejected
from consumers.dead_letters.topic import DeadLetterTopic
from consumers.erasure.requests import Erasures
from consumers.erasure.tombstones import names_in
from consumers.events.cloud_events import batch_in
from consumers.events.parsing import parse
from consumers.events.schemas import AnyEvent, Erase, Retrain
from consumers.faults import in_words, isolated, of_the_machine
from consumers.log.protocols import EventSource, RawEvent, TopicPartition
from consumers.rows.arriving.event_rows import Stored

_MIB = 1 << 20
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class IngestOutcome:
    """What one step did. `retrains` only hints that somebody waits; the buffer's requests are what counts."""

    polled: int = 0
    inserted: int = 0
    duplicates: int = 0
    dead: int = 0
    erased: int = 0
    """Of users and articles that were erased; nothing of them is kept."""
    retrains: tuple[Retrain, ...] = ()
    paused: str | None = None
    missing: int = 0
    """Events that were removed from the log before they were read."""
    newest_logged_at: datetime | None = None
    """When the log took the newest of the events."""

    def plus(self, other: IngestOutcome) -> IngestOutcome:
        """Return both outcomes as one."""
        return IngestOutcome(
            self.polled + other.polled,
            self.inserted + other.inserted,
            self.duplicates + other.duplicates,
            self.dead + other.dead,
            self.erased + other.erased,
            self.retrains + other.retrains,
            other.paused,
            self.missing + other.missing,
            other.newest_logged_at or self.newest_logged_at,
        )


class Ingest:
    """Moves events from one source into the buffer, at-least-once and idempotent. One thread calls `step`."""

    def __init__(
        self,
        source: EventSource,
        buffer: EventStore,
        dead_letters: DeadLetters,
        *,
        erasures: Erasures,
        tasks: Callable[[], Mapping[str, TaskSpec]],
        settings: IngestSettings,
        data_dir: Path,
        dead_letter_topic: DeadLetterTopic | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._source = source
        self._buffer = buffer
        self._dead_letters = dead_letters
        self._dead_letter_topic = dead_letter_topic
        self._erasures = erasures
        self._tasks = tasks
        self._settings = settings
        self._data_dir = data_dir
        self._clock = clock
        # Polled but not committed. The source does not hand them out again within this process, so a failed step
        # keeps them here; after a crash the log redelivers them.
        self._unfinished: list[RawEvent] = []
        self._failed = False
        self._paused = False

    def step(self) -> IngestOutcome:
        """Take the next events from the log to durable rows or dead letters, then commit their positions.

        Waits up to `poll_timeout_s`. Paused, with the reason in words, while the disk is nearly full. Raises `RetryError`
        when the log, the buffer or the disk fails: nothing of the failed portion is committed, and the next step
        takes the same events again.
        """
        paused = self._low_disk()
        if paused is not None:
            if not self._paused:
                _log.error("ingest.paused", reason=paused)
            self._paused = True
            self._source.hold()
            time.sleep(self._settings.poll_timeout_s)
            return IngestOutcome(paused=paused)
        if self._paused:
            _log.info("ingest.resumed", data_dir=str(self._data_dir))
            self._paused = False
        if not self._unfinished:
            timeout_s = self._settings.poll_timeout_s
            self._unfinished.extend(self._source.poll(timeout_s=timeout_s, max_events=self._settings.batch_events))
        elif self._failed:
            # The same events again, perhaps for long: the group must not take this member for dead.
            self._source.hold()
        outcome = IngestOutcome()
        self._failed = True
        for portion in list(_portions(self._unfinished, self._settings.max_unflushed_bytes)):
            outcome = outcome.plus(self._take(portion))
            del self._unfinished[: len(portion)]
        self._failed = False
        return outcome

    def _take(self, portion: Sequence[RawEvent]) -> IngestOutcome:
        stored, rejected, raws = self._sort(portion)
        requests = [one for one in stored if isinstance(one.event, Erase)]
        stored = [one for one in stored if not isinstance(one.event, Erase)]
        inserted = duplicates = 0
        erased: tuple[Stored, ...] = ()
        if stored:
            try:
                results, faulty = isolated(stored, self._buffer.insert, check=self._buffer.check)
                self._buffer.sync()
            except (OSError, RuntimeError, MemoryError) as error:
                if not of_the_machine(error):
                    raise
                raise RetryError(self._write_failed(error, portion)) from error
            for result in results:
                rejected += [Rejected(raws[id(one.stored)], one.reason, "event_id") for one in result.conflicts]
                inserted, duplicates = inserted + result.inserted, duplicates + result.duplicates
                erased += result.erased
            rejected += [self._unforeseen(raws[id(one.row)], one.error) for one in faulty]
        stones = self._erasures.tombstones()
        kept, gone = [], [raws[id(one)] for one in erased]
        for one in rejected:
            if stones.covers_bytes(one.raw.value or b""):
                gone.append(one.raw)
            else:
                kept.append(one)
        self._keep_dead_letters(kept)
        if gone:
            self._erasures.refused((raw.position, names_in(raw.value or b"")["event_id"]) for raw in gone)
        for request in requests:
            new = isinstance(request.event, Erase) and self._erasures.request(request.event, request.position)
            inserted, duplicates = inserted + new, duplicates + (not new)
        # Rows, dead letters and requests are durable. Only now may the log forget that they were to come.
        self._source.commit(_next_offsets(portion))
        retrains = tuple(one.event for one in stored if isinstance(one.event, Retrain))
        already = sum(raw.erased for raw in portion)
        return IngestOutcome(
            len(portion), inserted, duplicates, len(kept), len(gone) + already, retrains,
            missing=sum(raw.missing_before for raw in portion), newest_logged_at=max(raw.logged_at for raw in portion),
        )  # fmt: skip

    def _keep_dead_letters(self, rejected: Sequence[Rejected]) -> None:
        in_order = sorted(rejected, key=lambda one: one.raw.position)
        self._dead_letters.add_all(in_order)
        if self._dead_letter_topic is not None:
            self._dead_letter_topic.publish(in_order)
        for one in in_order:
            _log.warning("ingest.dead_letter", position=tuple(one.raw.position), field=one.field, reason=one.reason)

    def _sort(self, portion: Sequence[RawEvent]) -> tuple[list[Stored], list[Rejected], dict[int, RawEvent]]:
        """Return the events, what cannot be used, and what each event (by `id` of its `Stored`) was read from."""
        tasks = self._tasks()
        stored: list[Stored] = []
        rejected: list[Rejected] = []
        raws: dict[int, RawEvent] = {}
        for raw in self._apart(portion, rejected):
            if raw.erased:
                continue
            if raw.unreadable is not None:
                rejected.append(Rejected(raw, raw.unreadable, keep_bytes=False))
            elif raw.value is None:
                reason = "the event has no value (a tombstone); nothing is stored for it. Publish an event that has a value."
                rejected.append(Rejected(raw, reason))
            elif len(raw.value) > self._settings.max_event_bytes:
                rejected.append(Rejected(raw, self._too_large(len(raw.value)), keep_bytes=False))
            else:
                try:
                    one = Stored(self._parse(raw, raw.value, tasks), raw.position)
                except DeadLetterError as error:
                    rejected.append(Rejected(raw, error.reason, error.field))
                except Exception as error:
                    if of_the_machine(error):
                        raise
                    rejected.append(self._unforeseen(raw, error))
                else:
                    stored.append(one)
                    raws[id(one)] = raw
        return stored, rejected, raws

    def _apart(self, portion: Sequence[RawEvent], rejected: list[Rejected]) -> Iterator[RawEvent]:
        """Yield single events; what cannot be taken apart joins `rejected`."""
        for raw in portion:
            try:
                yield from _singles(raw, self._settings.max_event_bytes)
            except DeadLetterError as error:
                rejected.append(Rejected(raw, error.reason, error.field))

    def _unforeseen(self, raw: RawEvent, error: Exception) -> Rejected:
        """Return the dead letter of an event that the program fails on, so that it never blocks other events."""
        _log.error("ingest.failed_on_an_event", position=tuple(raw.position), exc_info=error)
        reason = (
            f"the program failed on this event ({in_words(error)}); it is kept, and other events are processed. Please report "
            "this, and replay it with a version that fixes it"
        )
        return Rejected(raw, reason)

    def _parse(self, raw: RawEvent, value: bytes, tasks: Mapping[str, TaskSpec]) -> AnyEvent:
        tolerance = timedelta(seconds=self._settings.future_tolerance_s)
        now = self._clock()
        return parse(value, tasks=tasks, now=now, future_tolerance=tolerance, headers=raw.headers, arrived=raw.logged_at)

    def _too_large(self, size: int) -> str:
        return (
            f"the event has {size} bytes, more than the limit of {self._settings.max_event_bytes} (ingest.max_event_bytes); "
            f"its hash and first {PREFIX_BYTES} bytes are kept and it cannot be replayed. Shorten the text and send it again, or "
            "raise the setting first"
        )

    def _low_disk(self) -> str | None:
        free_mib = free_bytes(self._data_dir) // _MIB
        if free_mib >= self._settings.min_free_disk_mib:
            return None
        return (
            f"ingest is paused: {free_mib} MiB are free on the disk of {self._data_dir}, fewer than the "
            f"{self._settings.min_free_disk_mib} MiB that must stay free (ingest.min_free_disk_mib). Events wait in the log and "
            "none is lost. Free space or move data_dir to a larger disk; ingest continues automatically."
        )

    def _write_failed(self, error: Exception, portion: Sequence[RawEvent]) -> str:
        what = "memory ran out" if isinstance(error, MemoryError) else "the disk refused a write"
        if os.strerror(errno.ENOSPC) in str(error):
            what = "the disk is full"
        first, last = portion[0].position, portion[-1].position
        return (
            f"the buffer under {self._data_dir} could not be written: {what} ({error}). The {len(portion)} events "
            f"from {tuple(first)} to {tuple(last)} were not committed and are tried again. Free space, and check disk and memory."
        )


def _singles(raw: RawEvent, max_bytes: int) -> list[RawEvent]:
    """Return the events of a batch (CloudEvents), each with the batch's offset; a single event comes back alone."""
    batch = batch_in(raw.value, raw.headers) if raw.value is not None and len(raw.value) <= max_bytes else None
    if batch is None:
        return [raw]
    headers = tuple((name, content) for name, content in raw.headers if name.lower() != "content-type")
    return [replace(raw, value=value, headers=headers) for value in batch]


def _portions(events: Sequence[RawEvent], max_bytes: int) -> Iterator[list[RawEvent]]:
    """Cut a batch so that at most `max_bytes` (or one event) are ever read and not yet durable."""
    portion: list[RawEvent] = []
    size = 0
    for event in events:
        length = len(event.value or b"")
        if portion and size + length > max_bytes:
            yield portion
            portion, size = [], 0
        portion.append(event)
        size += length
    if portion:
        yield portion


def _next_offsets(portion: Sequence[RawEvent]) -> dict[TopicPartition, int]:
    offsets: dict[TopicPartition, int] = {}
    for event in portion:
        topic, partition, offset = event.position
        offsets[TopicPartition(topic, partition)] = offset + 1
    return offsets
