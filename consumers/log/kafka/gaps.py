"""Offsets that did not come: removed unread, no events at all, or skipped because bytes were corrupted in transit."""

from __future__ import annotations

from kafka.structs import TopicPartition as KafkaPartition

from config.errors import RetryError
from consumers.log.gap import report_gap
from consumers.log.kafka.kept import KeptEvents
from consumers.log.protocols import TopicPartition


def explain_gap(group: str, kept: KeptEvents, part: KafkaPartition, *, earliest: int, expected: int, offset: int) -> int:
    """Return how many events were removed unread where `offset` came and `expected` was to come, and report them.

    `earliest` is the first offset that the broker still has. Raises `RetryError` where events were passed over that it has.
    """
    missing, first = 0, expected
    if (removed_to := min(earliest, offset)) > expected:
        remedy = "raise the topic's retention"
        missing = report_gap(group, TopicPartition(*part), expected=expected, earliest=removed_to, remedy=remedy)
        first = removed_to
    # Offsets may be missing for other reasons (transactions, compaction). But they and the positions travel without a
    # checksum: corrupted offsets must not skip events.
    if kept.any_between(part, first, offset):
        message = (
            f"group {group!r} was given offset {offset} of {part.topic}/{part.partition} where {first} is to be read: "
            "the way to the broker changes bytes. Uncommitted events come again. Check the network, or use TLS."
        )
        raise RetryError(message)
    return missing
