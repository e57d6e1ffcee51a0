"""The event log on a Kafka cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import structlog
from kafka import KafkaConsumer
from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient
from kafka.structs import OffsetAndMetadata
from kafka.structs import TopicPartition as KafkaPartition

from config.errors import RetryError
from config.words import counted
from consumers.events.schemas import TOPICS
from consumers.log.kafka.connection import REQUEST_MS, connection_to, in_words, opened
from consumers.log.kafka.positions import partitions_of
from consumers.log.kafka.sink import KafkaSink
from consumers.log.kafka.source import KafkaSource
from consumers.log.protocols import FETCH_MAX_BYTES, EventSink, EventSource, Position, TopicPartition

_log = structlog.get_logger(__name__)


class KafkaLog:
    """Opens sources and sinks on the cluster, each with its own connections. Thread-safe.

    Opening needs no broker: whoever polls or publishes while none answers gets a `RetryError`.
    """

    def __init__(
        self, bootstrap_servers: Sequence[str], *, security: Mapping[str, Any] | None = None, group_prefix: str = ""
    ) -> None:
        """`security` are kafka-python's own settings for SASL and TLS; `group_prefix` goes before every group's name."""
        self._connection = connection_to(bootstrap_servers, security)
        self._group_prefix = group_prefix

    def source(self, group: str, topics: Sequence[str], *, fetch_max_bytes: int = FETCH_MAX_BYTES) -> EventSource:
        """Return `group`'s view of `topics`, shared with the group's other members; a new group starts at the earliest event.

        One answer of a broker holds at most `fetch_max_bytes`, or one batch that is larger.
        """
        return KafkaSource(self._connection, self._group_prefix + group, topics, fetch_max_bytes)

    def sink(self) -> EventSink:
        """Return a thread-safe publisher that waits for all in-sync replicas and never sends one event twice by itself."""
        return KafkaSink(self._connection)

    def kept(self, topic: str) -> int:
        """Return how many offsets of a topic, over all partitions, are kept. Raises `RetryError`."""
        with self._consumer() as consumer:
            parts = partitions_of(consumer, topic)
            first, following = consumer.beginning_offsets(parts, REQUEST_MS), consumer.end_offsets(parts, REQUEST_MS)
            return sum(following[part] - first[part] for part in parts)

    def committed(self, group: str, topic: str) -> Mapping[TopicPartition, int]:
        """Return the group's committed position in each partition of a topic, 0 where it has none. Raises `RetryError`."""
        with self._consumer(group_id=self._group_prefix + group) as consumer:
            parts = partitions_of(consumer, topic)
            return {TopicPartition(*part): consumer.committed(part, timeout_ms=REQUEST_MS) or 0 for part in parts}

    def beginning(self, topic: str) -> Mapping[TopicPartition, int]:
        """Return the first offset that the brokers still keep of each partition. Raises `RetryError`."""
        with self._consumer() as consumer:
            first = consumer.beginning_offsets(partitions_of(consumer, topic), REQUEST_MS)
        return {TopicPartition(*part): offset for part, offset in first.items()}

    def rewind(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Set a group's committed positions back, so that events whose rows were lost come again. Call before `source`.

        A partition of the named topics that is not named itself goes back to its beginning: no row of it is left. A position
        is never moved forward. Raises `RetryError`, also while a member of the group (a former leader) is still counted in.
        """
        name = self._group_prefix + group
        with self._consumer(group_id=name) as consumer:
            parts = [part for topic in {part.topic for part in offsets} for part in partitions_of(consumer, topic)]
            back = {part: offsets.get(TopicPartition(*part), 0) for part in parts}
            committed = {part: consumer.committed(part, timeout_ms=REQUEST_MS) for part in parts}
        back = {part: offset for part, offset in back.items() if (known := committed[part]) is not None and offset < known}
        if not back:
            return
        with contextlib.closing(opened(KafkaAdminClient, self._connection)) as admin:
            answers = admin.alter_group_offsets(name, {part: OffsetAndMetadata(offset, "", -1) for part, offset in back.items()})
        refused = {part: answer for part, answer in answers.items() if answer is not kafka_errors.NoError}
        if refused:
            reasons = ", ".join(sorted({answer.__name__ for answer in refused.values()}))
            count = counted(len(refused), "partition")
            message = f"the offsets of group {name!r} could not be reset on {count} ({reasons}); nothing is read before that. "
            message += "It is retried; a former leader's membership ends automatically."
            raise RetryError(message)
        _log.warning("event_log.rewound", group=name, offsets={f"{part.topic}/{part.partition}": at for part, at in back.items()})

    def enforce_retention(self) -> int:
        """Return 0: the brokers remove old events by the topics' own retention."""
        return 0

    def find(self, matches: Callable[[bytes], bool]) -> Sequence[Position]:
        """Read all our topics once and return the positions of events whose bytes `matches` accepts. Raises `RetryError`."""
        found: list[Position] = []
        with self._consumer(auto_offset_reset="earliest") as consumer:
            present = consumer.topics()
            parts = [part for topic in TOPICS if topic in present for part in partitions_of(consumer, topic)]
            first, ends = consumer.beginning_offsets(parts, REQUEST_MS), consumer.end_offsets(parts, REQUEST_MS)
            left = {part: first[part] for part in parts if first[part] < ends[part]}
            consumer.assign(left)
            consumer.seek_to_beginning(*left)
            while left:
                for part, records in consumer.poll(timeout_ms=REQUEST_MS).items():
                    found += [
                        Position(part.topic, part.partition, record.offset) for record in records if matches(record.value or b"")
                    ]
                reached = {part: consumer.position(part) for part in left}
                if reached == left:
                    # A broker that is away looks like one that has nothing.
                    message = (
                        f"Kafka delivered nothing for {REQUEST_MS / 1000:.0f} s; the topics are read again from the beginning."
                    )
                    raise RetryError(message)
                left = {part: offset for part, offset in reached.items() if offset < ends[part]}
        return found

    def erase(self, positions: Sequence[Position]) -> frozenset[Position]:
        """Return those of `positions` that the brokers still keep: what is in a topic stays until its retention removes it."""
        with self._consumer() as consumer:
            present = consumer.topics()
            parts = sorted({KafkaPartition(one.topic, one.partition) for one in positions if one.topic in present})
            first = consumer.beginning_offsets(parts, REQUEST_MS) if parts else {}
        return frozenset(
            one for one in positions if one.offset >= first.get(KafkaPartition(one.topic, one.partition), one.offset + 1)
        )

    def compact(self) -> None:
        """Do nothing: the brokers remove whole segments."""

    def close(self) -> None:
        """Do nothing: sources and sinks are closed on their own."""

    @contextlib.contextmanager
    def _consumer(self, **settings: object) -> Iterator[KafkaConsumer]:
        consumer = opened(KafkaConsumer, self._connection, enable_auto_commit=False, allow_auto_create_topics=False, **settings)
        try:
            yield consumer
        except kafka_errors.KafkaError as error:
            message = f"Kafka did not return the offsets ({in_words(error)}); nothing was changed. It is tried again."
            raise RetryError(message) from error
        finally:
            consumer.close()
