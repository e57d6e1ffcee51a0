"""The offsets of a group in its topics; reading them does not join the group."""

from __future__ import annotations

from collections.abc import Sequence

from kafka import KafkaConsumer
from kafka import errors as kafka_errors
from kafka.structs import TopicPartition as KafkaPartition

from config.errors import RetryError
from consumers.log.kafka.connection import REQUEST_MS


def partitions_of(consumer: KafkaConsumer, topic: str) -> Sequence[KafkaPartition]:
    """Return the partitions of a topic. Raises `RetryError` when it does not exist."""
    try:
        found = consumer.partitions_for_topic(topic)
    except kafka_errors.UnknownTopicOrPartitionError:
        found = None
    if not found:
        message = f"topic {topic!r} does not exist. It is checked again; create it with `perennial topics create`."
        raise RetryError(message)
    return [KafkaPartition(topic, number) for number in sorted(found)]


def next_to_read(consumer: KafkaConsumer, part: KafkaPartition) -> int:
    """Return the offset that the consumer's group is to read next; retention may have passed what it has committed."""
    first: int = consumer.beginning_offsets([part], REQUEST_MS)[part]
    return max(first, consumer.committed(part, timeout_ms=REQUEST_MS) or 0)


def unread(consumer: KafkaConsumer, topics: Sequence[str]) -> dict[KafkaPartition, tuple[int, int]]:
    """Return, per partition, the offset that the group is to read next and the one after the last. Raises `RetryError`."""
    parts = [part for topic in topics for part in partitions_of(consumer, topic)]
    first, ends = consumer.beginning_offsets(parts, REQUEST_MS), consumer.end_offsets(parts, REQUEST_MS)
    return {part: (max(first[part], consumer.committed(part, timeout_ms=REQUEST_MS) or 0), ends[part]) for part in parts}
