"""Reading from Kafka as one member of a consumer group.

What it works around was measured on kafka-python 3.0.12: a consumer whose `poll` has raised once spins at the next call and
ignores its timeout, so it is never polled again; and polling several topics hands out all that was fetched of one before
another gets its turn. More in `library_faults`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from kafka import ConsumerRebalanceListener, KafkaConsumer
from kafka import errors as kafka_errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import OffsetAndMetadata
from kafka.structs import TopicPartition as KafkaPartition

from config.errors import RetryError
from consumers.log.kafka.connection import CLOSE_MS, REQUEST_MS, Connection, in_words, opened
from consumers.log.kafka.gaps import explain_gap
from consumers.log.kafka.kept import KeptEvents
from consumers.log.kafka.library_faults import polled
from consumers.log.kafka.positions import next_to_read, unread
from consumers.log.kafka.unreadable import find_unreadable, is_unreadable
from consumers.log.protocols import Position, RawEvent, TopicPartition

_HOLD_MS = 100
_REJOIN_MS = 500
_COMMIT_ATTEMPTS = 20
_UNKNOWN = -1
_SESSION_MS = 6_000
"""After this long, the least that brokers allow by default, a killed member is counted out and another gets its partitions."""
_METADATA_MS = 5_000
"""A topic or partition made after this member joined is noticed after this long; the default is five minutes."""
_HEARTBEAT_MS = 300
"""A member hears of another's coming or going after this long, and its partitions are shared out in two such rounds."""
_SILENCE_S = 60.0
"""After this many seconds without an event another client checks whether any waits: a lost consumer is silent too."""

_log = structlog.get_logger(__name__)


class KafkaSource:
    """One member of a consumer group; not thread-safe. Opened at its first use, and reopened after every error."""

    def __init__(self, connection: Connection, group: str, topics: Sequence[str], fetch_max_bytes: int) -> None:
        self._connection = connection
        self._group = group
        self._topics = tuple(topics)
        self._fetch_max_bytes = fetch_max_bytes
        self._consumer: KafkaConsumer | None = None
        self._kept = KeptEvents(connection)
        self._heard_at = time.monotonic()
        self._served_last: str | None = None
        # What came while no events were asked for.
        self._held: dict[KafkaPartition, list[Any]] = {}
        # What this member has committed or read as committed, so that no position moves backwards.
        self._committed: dict[KafkaPartition, int] = {}
        self._expected: dict[KafkaPartition, int] = {}
        # Events removed unread, reported with the next event of their partition.
        self._missing: dict[KafkaPartition, int] = {}
        # After an error of the data: where each partition was to be read, and where it can be read again.
        self._suspects: dict[KafkaPartition, int] = {}
        self._resume_at: dict[KafkaPartition, int] = {}

    def poll(self, *, timeout_s: float, max_events: int) -> Sequence[RawEvent]:
        """As `EventSource.poll`. What cannot be read comes as one `unreadable` event per damaged range."""
        if self._suspects and (skipped := self._look_behind_damage()):
            return skipped
        deadline = time.monotonic() + timeout_s
        with self._never_used_after_an_error() as consumer:
            found = self._taken_from_held(max_events) or self._of_topics_not_served_last(consumer, max_events)
            while not found and (left_s := deadline - time.monotonic()) > 0:
                found = self._polled(consumer, timeout_ms=int(1000 * left_s) + 1, max_records=max_events)
            for part, records in found.items():
                self._check_for_gaps(consumer, part, [record.offset for record in records])
        if found:
            self._heard_at = time.monotonic()
        elif time.monotonic() - self._heard_at > _SILENCE_S:
            self._look_behind_silence()
        return [self._event(record) for records in found.values() for record in records]

    def hold(self) -> None:
        """As `EventSource.hold`: heartbeats alone would not do, a member that polls nothing for five minutes is counted out."""
        with self._never_used_after_an_error() as consumer:
            self._take_part(consumer, _HOLD_MS)

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """As `EventSource.commit`; partitions that another member has taken over are left out."""
        with self._never_used_after_an_error() as consumer:
            if next_offsets and not consumer.assignment():
                # Reopened since those events were read.
                self._take_part(consumer, _REJOIN_MS)
            for _ in range(_COMMIT_ATTEMPTS):
                ahead = self._own_and_ahead(consumer, next_offsets)
                try:
                    if ahead:
                        offsets = {part: OffsetAndMetadata(offset, "", -1) for part, offset in ahead.items()}
                        consumer.commit(offsets, timeout_ms=REQUEST_MS)
                except (kafka_errors.CommitFailedError, kafka_errors.RebalanceInProgressError):
                    # The group is being shared out again, which only polling brings forward.
                    self._take_part(consumer, _REJOIN_MS)
                    self._committed.clear()
                else:
                    self._committed |= ahead
                    for part in ahead.keys() & self._resume_at.keys():
                        if ahead[part] >= self._resume_at[part]:
                            del self._resume_at[part]
                    return
        message = f"group {self._group!r} has been rebalancing for too long to commit; the events come again and are tried again"
        raise RetryError(message)

    def lag(self) -> Mapping[TopicPartition, int]:
        """As `EventSource.lag`; does not join the group. What is left may be transactions' ends and no event."""
        with self._never_used_after_an_error() as consumer:
            return {
                TopicPartition(*part): end - first if self._may_wait(part, first, end) else 0
                for part, (first, end) in unread(consumer, self._topics).items()
            }

    def _may_wait(self, part: KafkaPartition, first: int, end: int) -> bool:
        try:
            return self._kept.any_between(part, first, end)
        except RetryError:
            # What cannot be read waits too.
            return True

    def close(self) -> None:
        """Leave the group and release the connections; the source reopens them at its next use."""
        consumer, self._consumer = self._consumer, None
        try:
            if consumer is not None:
                consumer.close(timeout_ms=CLOSE_MS)
        finally:
            self._kept.close()

    def _open(self) -> None:
        self._consumer = consumer = opened(
            KafkaConsumer,
            self._connection,
            group_id=self._group,
            # No deserializers: an event that does not parse must reach us as bytes.
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            # What a producer has taken back is not an event.
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            partition_assignment_strategy=[CooperativeStickyAssignor()],
            session_timeout_ms=_SESSION_MS,
            heartbeat_interval_ms=_HEARTBEAT_MS,
            metadata_max_age_ms=_METADATA_MS,
            fetch_max_bytes=self._fetch_max_bytes,
            max_partition_fetch_bytes=self._fetch_max_bytes,
        )
        consumer.subscribe(topics=list(self._topics), listener=_ResumeBehindDamage(consumer, self._resume_at))
        self._heard_at = time.monotonic()
        self._held.clear()
        self._committed.clear()
        self._expected.clear()
        self._missing.clear()
        try:
            # Who joins as the leader before the partitions are known shares out nothing, and must join once more.
            consumer.topics()
        except (kafka_errors.UnknownTopicOrPartitionError, kafka_errors.LeaderNotAvailableError):
            # A topic that is not there yet is noticed later.
            pass
        except Exception as error:
            # Whatever parsing raises, as in `_polled`.
            self._abandon()
            raise RetryError(self._told(error)) from error

    @contextlib.contextmanager
    def _never_used_after_an_error(self) -> Iterator[KafkaConsumer]:
        try:
            if self._consumer is None:
                self._open()
            yield self._consumer
        except RetryError:
            raise
        except (kafka_errors.KafkaError, OSError, ValueError, RuntimeError) as error:
            self._abandon()
            raise RetryError(self._told(error)) from error

    def _polled(self, consumer: KafkaConsumer, *, timeout_ms: int, max_records: int) -> dict[KafkaPartition, list[Any]]:
        try:
            return polled(consumer, timeout_ms=timeout_ms, max_records=max_records)
        except Exception as error:
            # Whatever parsing raises: all that is certain is that this consumer must not be used again.
            if is_unreadable(error):
                self._suspects = {part: self._expected.get(part, _UNKNOWN) for part in consumer.assignment()}
                _log.error("event_log.unreadable", group=self._group, reason=in_words(error), next="each partition is probed")
            self._abandon()
            raise RetryError(self._told(error)) from error

    def _look_behind_silence(self) -> None:
        """Reopen the connections, and raise `RetryError`, where events wait that polling does not bring."""
        self._heard_at = time.monotonic()
        with self._never_used_after_an_error():
            other = opened(KafkaConsumer, self._connection, group_id=self._group, enable_auto_commit=False)
            with contextlib.closing(other):
                left = unread(other, self._topics)
        waiting = [part for part, (first, end) in left.items() if self._kept.any_between(part, first, end)]
        if waiting:
            self._abandon()
            message = (
                f"group {self._group!r} received nothing for {_SILENCE_S:.0f} s although events wait in "
                f"{', '.join(f'{part.topic}/{part.partition}' for part in waiting)}. Its connections are reopened."
            )
            raise RetryError(message)

    def _told(self, error: BaseException) -> str:
        return (
            f"group {self._group!r} could not read {', '.join(self._topics)} ({in_words(error)}). "
            "Its connections are reopened; uncommitted events come again."
        )

    def _abandon(self) -> None:
        try:
            self.close()
        except (kafka_errors.KafkaError, OSError, RuntimeError) as error:
            _log.warning("kafka.close_failed", group=self._group, reason=str(error), next="it is left to the garbage collector")

    def _look_behind_damage(self) -> Sequence[RawEvent]:
        """Probe each suspect; return one event for each range that cannot be read, and read on behind it."""
        with self._never_used_after_an_error() as consumer:
            starts = {part: next_to_read(consumer, part) if at == _UNKNOWN else at for part, at in self._suspects.items()}
        skipped: list[RawEvent] = []
        for part, start in starts.items():
            ranges, resume_at = find_unreadable(self._connection, part, start)
            if ranges:
                self._resume_at[part] = resume_at
                skipped += [one.as_event() for one in ranges]
        self._suspects = {}
        return skipped

    def _taken_from_held(self, max_events: int) -> dict[KafkaPartition, list[Any]]:
        taken: dict[KafkaPartition, list[Any]] = {}
        for part in list(self._held):
            room = max_events - sum(map(len, taken.values()))
            if room > 0:
                taken[part], self._held[part] = self._held[part][:room], self._held[part][room:]
            if not self._held[part]:
                del self._held[part]
        return taken

    def _of_topics_not_served_last(self, consumer: KafkaConsumer, max_events: int) -> dict[KafkaPartition, list[Any]]:
        """Return what was fetched already of other topics than the one that was handed out last."""
        held_back = [part for part in consumer.assignment() if part.topic == self._served_last]
        if len(self._topics) == 1 or not held_back:
            return {}
        with _paused(consumer, held_back):
            return self._polled(consumer, timeout_ms=0, max_records=max_events)

    def _take_part(self, consumer: KafkaConsumer, wait_ms: int) -> None:
        """Take part in the group's life and rebalances without handing out events."""
        with _paused(consumer, consumer.assignment()):
            # A partition that comes again is not paused; what it brings must not be dropped.
            for part, records in self._polled(consumer, timeout_ms=wait_ms, max_records=1).items():
                self._held.setdefault(part, []).extend(records)

    def _event(self, record: Any) -> RawEvent:  # noqa: ANN401 - kafka-python ships no types
        part = KafkaPartition(record.topic, record.partition)
        self._served_last = record.topic
        self._expected[part] = record.offset + 1
        headers = tuple((name, value or b"") for name, value in record.headers or ())
        position = Position(record.topic, record.partition, record.offset)
        missing = self._missing.pop(part, 0)
        return RawEvent(position, record.value, record.key, headers, _logged_at(record.timestamp), missing_before=missing)

    def _check_for_gaps(self, consumer: KafkaConsumer, part: KafkaPartition, offsets: Sequence[int]) -> None:
        """Tell of events that were removed unread. Raises `RetryError` where events are passed over that the broker still has."""
        expected = self._expected.get(part, 0)
        gaps: list[tuple[int, int]] = []
        for offset in offsets:
            if offset > expected:
                gaps.append((expected, offset))
            expected = offset + 1
        if gaps:
            self._explain_gaps(consumer, part, gaps)

    def _explain_gaps(self, consumer: KafkaConsumer, part: KafkaPartition, gaps: Sequence[tuple[int, int]]) -> None:
        """Each gap is the offset that was to come and the one that came."""
        committed = consumer.committed(part, timeout_ms=REQUEST_MS)
        earliest = consumer.beginning_offsets([part], REQUEST_MS)[part]
        # Another member may have read on meanwhile; a new group begins at the earliest event.
        begun = max(earliest if committed is None else committed, self._resume_at.get(part, 0))
        missing = 0
        try:
            for expected, offset in gaps:
                missing += explain_gap(
                    self._group, self._kept, part, earliest=earliest, expected=max(expected, begun), offset=offset
                )
        except RetryError:
            # This consumer stands behind events that nobody was given.
            self._abandon()
            raise
        if missing:
            self._missing[part] = missing

    def _own_and_ahead(self, consumer: KafkaConsumer, next_offsets: Mapping[TopicPartition, int]) -> dict[KafkaPartition, int]:
        """Leave out what another member has taken over: it reads those events again."""
        own = consumer.assignment()
        wanted = {KafkaPartition(*part): offset for part, offset in next_offsets.items()}
        for part in own & wanted.keys() - self._committed.keys():
            self._committed[part] = consumer.committed(part, timeout_ms=REQUEST_MS) or 0
        return {part: offset for part, offset in wanted.items() if part in own and offset > self._committed[part]}


class _ResumeBehindDamage(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python ships no types
    """Sets partitions that come to this member behind what could not be read; called on the client's own thread."""

    def __init__(self, consumer: KafkaConsumer, resume_at: Mapping[KafkaPartition, int]) -> None:
        self._consumer = consumer
        self._resume_at = resume_at

    def on_partitions_assigned(self, assigned: Collection[KafkaPartition]) -> None:
        for part in assigned:
            if part in self._resume_at:
                self._consumer.seek(part, self._resume_at[part])

    def on_partitions_revoked(self, revoked: Collection[KafkaPartition]) -> None:
        """Leave it: what was read and not committed comes again to the next owner."""

    def on_partitions_lost(self, lost: Collection[KafkaPartition]) -> None:
        """Leave it, as above."""


def _logged_at(timestamp_ms: int) -> datetime:
    """Return when a record was logged; now where its producer has written a time that no calendar has."""
    try:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.now(UTC)


@contextlib.contextmanager
def _paused(consumer: KafkaConsumer, parts: Collection[KafkaPartition]) -> Iterator[None]:
    held_back = list(parts)
    consumer.pause(*held_back)
    try:
        yield
    finally:
        consumer.resume(*(part for part in held_back if part in consumer.assignment()))
