"""Apache Kafka as the event log; the only module that imports kafka-python.

What it works around was measured on kafka-python 3.0.12: a consumer whose `poll` has raised once spins at the next call and
ignores its timeout, so it is never polled again; a client whose constructor fails leaves a thread and its sockets behind, so
they are closed here; and polling several topics hands out all that was fetched of one before another gets its turn.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from kafka import KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.net.compat import KafkaNetClient
from kafka.structs import OffsetAndMetadata
from kafka.structs import TopicPartition as KafkaPartition

from config.errors import RetryError
from consumers.gap import report_gap
from consumers.source import FETCH_MAX_BYTES, PUBLISH_BUFFER_BYTES, EventSink, EventSource, Position, RawEvent, TopicPartition

_CONNECT_MS = 10_000
_REQUEST_MS = 15_000
_CLOSE_MS = 5_000
_REJOIN_MS = 500
_LINGER_MS = 5
_COMMIT_ATTEMPTS = 10

_log = structlog.get_logger(__name__)


class KafkaLog:
    """The log on a cluster; opens sources and sinks on it, each with connections of its own. Thread-safe.

    Opening needs no broker: whoever polls or publishes while none answers gets a `RetryError`.
    """

    def __init__(self, bootstrap_servers: Sequence[str], *, security: Mapping[str, Any] | None = None) -> None:
        """`security` are kafka-python's own settings for SASL and TLS."""
        self._connection = {"bootstrap_servers": list(bootstrap_servers), "bootstrap_timeout_ms": _CONNECT_MS, **(security or {})}

    def source(self, group: str, topics: Sequence[str], *, fetch_max_bytes: int = FETCH_MAX_BYTES) -> EventSource:
        """Return `group`'s view of `topics`, shared with the group's other members; a new group starts at the earliest event.

        One answer of a broker holds at most `fetch_max_bytes`, or one event that is larger.
        """
        return _KafkaSource(lambda: _consumer(self._connection, group, topics, fetch_max_bytes), group, topics)

    def sink(self) -> EventSink:
        """Return a thread-safe publisher that waits for all in-sync replicas and never sends one event twice by itself."""
        return _KafkaSink(self._connection)

    def close(self) -> None:
        """Do nothing: sources and sinks are closed on their own."""


def _consumer(connection: Mapping[str, Any], group: str | None, topics: Sequence[str], fetch_max_bytes: int) -> KafkaConsumer:
    consumer = _opened(
        KafkaConsumer,
        connection,
        group_id=group,
        # No deserializers: an event that does not parse must reach us as bytes.
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        allow_auto_create_topics=False,
        partition_assignment_strategy=[CooperativeStickyAssignor()],
        fetch_max_bytes=fetch_max_bytes,
        max_partition_fetch_bytes=fetch_max_bytes,
    )
    if topics:
        consumer.subscribe(topics=list(topics))
    return consumer


def _opened(kind: Callable[..., Any], connection: Mapping[str, Any], **settings: object) -> Any:  # noqa: ANN401 - kafka-python ships no types
    clients: list[KafkaNetClient] = []

    def client(**options: object) -> KafkaNetClient:
        clients.append(KafkaNetClient(**options))
        return clients[-1]

    try:
        return kind(kafka_client=client, **connection, **settings)
    except (kafka_errors.KafkaError, OSError) as error:
        for left_behind in clients:
            left_behind.close()
        servers = ", ".join(connection["bootstrap_servers"])
        message = f"no Kafka broker answers at {servers} ({error or type(error).__name__}). Nothing is lost; it is tried again. "
        message += "Start the broker, or mend the address."
        raise RetryError(message) from error


class _KafkaSource:
    """One member of a consumer group; not thread-safe."""

    def __init__(self, opened: Callable[[], KafkaConsumer], group: str, topics: Sequence[str]) -> None:
        self._opened = opened
        self._group = group
        self._topics = tuple(topics)
        self._consumer: KafkaConsumer | None = None
        self._served_last: str | None = None
        # What this member has committed or read as committed, so that no position moves backwards.
        self._committed: dict[KafkaPartition, int] = {}
        self._expected: dict[KafkaPartition, int] = {}

    def poll(self, *, timeout_s: float, max_events: int) -> Sequence[RawEvent]:
        deadline = time.monotonic() + timeout_s
        with self._never_used_after_an_error() as consumer:
            found = self._of_topics_not_served_last(consumer, max_events)
            while not found and (left_s := deadline - time.monotonic()) > 0:
                found = consumer.poll(timeout_ms=int(1000 * left_s) + 1, max_records=max_events)
            for part, records in found.items():
                self._alarm_over_gap(consumer, part, records[0].offset)
        return [self._event(record) for records in found.values() for record in records]

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        with self._never_used_after_an_error() as consumer:
            for _ in range(_COMMIT_ATTEMPTS):
                ahead = self._own_and_ahead(consumer, next_offsets)
                try:
                    if ahead:
                        offsets = {part: OffsetAndMetadata(offset, "", -1) for part, offset in ahead.items()}
                        consumer.commit(offsets, timeout_ms=_REQUEST_MS)
                except (kafka_errors.CommitFailedError, kafka_errors.RebalanceInProgressError):
                    # The group is being shared out anew, which only polling brings forward.
                    self._rejoin(consumer)
                else:
                    self._committed |= ahead
                    return
        message = f"group {self._group!r} has been rebalancing for too long to commit; the events come again and are tried again"
        raise RetryError(message)

    def lag(self) -> Mapping[TopicPartition, int]:
        with self._never_used_after_an_error() as consumer:
            parts = [KafkaPartition(topic, number) for topic in self._topics for number in self._partitions(consumer, topic)]
            first, following = consumer.beginning_offsets(parts), consumer.end_offsets(parts)
            return {
                TopicPartition(*part): following[part] - max(first[part], consumer.committed(part, timeout_ms=_REQUEST_MS) or 0)
                for part in parts
            }

    def close(self) -> None:
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            consumer.close(timeout_ms=_CLOSE_MS)

    @contextlib.contextmanager
    def _never_used_after_an_error(self) -> Iterator[KafkaConsumer]:
        if self._consumer is None:
            self._consumer = self._opened()
            self._committed.clear()
            self._expected.clear()
        try:
            yield self._consumer
        except RetryError:
            raise
        except (kafka_errors.KafkaError, OSError, ValueError, RuntimeError) as error:
            self._abandon()
            message = f"group {self._group!r} could not read {', '.join(self._topics)} ({error or type(error).__name__}). "
            message += "Its connections are opened anew; uncommitted events come again."
            raise RetryError(message) from error

    def _abandon(self) -> None:
        try:
            self.close()
        except (kafka_errors.KafkaError, OSError, RuntimeError) as error:
            _log.warning("kafka.close_failed", group=self._group, reason=str(error), next="it is left to the garbage collector")

    def _of_topics_not_served_last(self, consumer: KafkaConsumer, max_events: int) -> dict[KafkaPartition, list[Any]]:
        """Return what was fetched already of other topics than the one that was handed out last."""
        held_back = [part for part in consumer.assignment() if part.topic == self._served_last]
        if len(self._topics) == 1 or not held_back:
            return {}
        consumer.pause(*held_back)
        try:
            found: dict[KafkaPartition, list[Any]] = consumer.poll(timeout_ms=0, max_records=max_events)
        finally:
            consumer.resume(*(part for part in held_back if part in consumer.assignment()))
        return found

    def _event(self, record: Any) -> RawEvent:  # noqa: ANN401 - kafka-python ships no types
        part = KafkaPartition(record.topic, record.partition)
        self._served_last = record.topic
        self._expected[part] = record.offset + 1
        headers = tuple((name, value or b"") for name, value in record.headers or ())
        position = Position(record.topic, record.partition, record.offset)
        logged_at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
        return RawEvent(position, record.value, record.key, headers, logged_at)

    def _alarm_over_gap(self, consumer: KafkaConsumer, part: KafkaPartition, offset: int) -> None:
        expected = self._expected.get(part)
        if expected is None or offset > expected:
            # Another member may have read on meanwhile.
            committed = consumer.committed(part, timeout_ms=_REQUEST_MS)
            expected = max(expected or 0, offset if committed is None else committed)
        # Offsets may be missing for other reasons (transactions, compaction): only what retention removed is lost.
        if offset > expected and (earliest := consumer.beginning_offsets([part])[part]) > expected:
            remedy = "raise the topic's retention"
            report_gap(self._group, TopicPartition(*part), expected=expected, earliest=earliest, remedy=remedy)

    def _own_and_ahead(self, consumer: KafkaConsumer, next_offsets: Mapping[TopicPartition, int]) -> dict[KafkaPartition, int]:
        """Leave out what another member has taken over: it reads those events again."""
        own = consumer.assignment()
        wanted = {KafkaPartition(*part): offset for part, offset in next_offsets.items()}
        for part in own & wanted.keys() - self._committed.keys():
            self._committed[part] = consumer.committed(part, timeout_ms=_REQUEST_MS) or 0
        return {part: offset for part, offset in wanted.items() if part in own and offset > self._committed[part]}

    def _rejoin(self, consumer: KafkaConsumer) -> None:
        """Take part in the rebalance without being handed events."""
        consumer.pause(*consumer.assignment())
        try:
            consumer.poll(timeout_ms=_REJOIN_MS)
        finally:
            consumer.resume(*consumer.assignment())
        self._committed.clear()

    def _partitions(self, consumer: KafkaConsumer, topic: str) -> Sequence[int]:
        try:
            found = consumer.partitions_for_topic(topic)
        except kafka_errors.UnknownTopicOrPartitionError:
            found = None
        if not found:
            message = f"topic {topic!r} does not exist. It is looked for again; create it on the broker first."
            raise RetryError(message)
        return sorted(found)


@dataclass(eq=False)
class _OnTheWay:
    """An event that is not known to be durable; without a future it must be sent again."""

    event: Mapping[str, Any]
    size: int
    future: Any
    durable: bool = False


class _KafkaSink:
    """Publishes with acknowledgement of all in-sync replicas; whoever flushes waits for every thread's events. Thread-safe."""

    def __init__(self, connection: Mapping[str, Any]) -> None:
        self._connection = connection
        self._producer: KafkaProducer | None = None
        self._on_the_way: list[_OnTheWay] = []
        self._bytes = 0
        self._lock = threading.Lock()

    def publish(
        self, topic: str, value: bytes | None, *, key: bytes | None = None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        if self._bytes >= PUBLISH_BUFFER_BYTES:
            # Backpressure: the library itself buffers without a bound.
            self.flush()
        event = {"topic": topic, "value": value, "key": key, "headers": list(headers)}
        with self._lock:
            self._on_the_way.append(_OnTheWay(event, len(value or b""), self._send(event)))
            self._bytes += self._on_the_way[-1].size

    def flush(self, timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        with self._lock:
            for one in self._on_the_way:
                # At least once: what failed before goes again, behind what was published since.
                one.future = one.future or self._send(one.event)
            waited_for = list(self._on_the_way)
        failures = [failure for one in waited_for if (failure := _failure(one, deadline)) is not None]
        with self._lock:
            self._on_the_way = [one for one in self._on_the_way if not one.durable]
            self._bytes = sum(one.size for one in self._on_the_way)
        if failures:
            message = (
                f"Kafka has not taken {len(failures)} of {len(waited_for)} events ({failures[0]}). They are kept. Flush again."
            )
            raise RetryError(message)

    def close(self) -> None:
        if self._producer is None:
            return
        try:
            self.flush()
        finally:
            producer, self._producer = self._producer, None
            producer.close(timeout=_CLOSE_MS / 1000)

    def _send(self, event: Mapping[str, Any]) -> Any:  # noqa: ANN401 - kafka-python ships no types
        self._producer = self._producer or _producer(self._connection)
        try:
            return self._producer.send(**event)
        except kafka_errors.KafkaError as error:
            message = f"Kafka took no event for topic {event['topic']!r} ({error or type(error).__name__}). Send it again. "
            message += "If the topic does not exist, create it on the broker first."
            raise RetryError(message) from error


def _producer(connection: Mapping[str, Any]) -> KafkaProducer:
    return _opened(
        KafkaProducer, connection, acks="all", enable_idempotence=True, allow_auto_create_topics=False, compression_type="lz4",
        max_request_size=FETCH_MAX_BYTES, max_block_ms=_CONNECT_MS, request_timeout_ms=_REQUEST_MS,
        delivery_timeout_ms=2 * _REQUEST_MS, linger_ms=_LINGER_MS,
    )  # fmt: skip


def _failure(one: _OnTheWay, deadline: float) -> str | None:
    """Wait for one event; return why it is not durable, None when it is."""
    try:
        one.future.get(timeout=max(0.0, deadline - time.monotonic()))
    except kafka_errors.KafkaError as error:
        if one.future.is_done:
            one.future = None
        return str(error) or type(error).__name__
    one.durable = True
    return None
