"""Bytes that cannot be read: waited for while the way to the broker changes them, skipped where the broker's are damaged."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from kafka import errors as kafka_errors
from kafka.structs import TopicPartition as KafkaPartition

from config.errors import RetryError
from consumers.log.kafka import batches
from consumers.log.kafka.batches import BatchReader, Fetched
from consumers.log.kafka.connection import Connection, in_words
from consumers.log.protocols import Position, RawEvent

_READS = 3


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Offsets `first` to `last` of a partition, which nobody can read, and why."""

    part: KafkaPartition
    first: int
    last: int
    reason: str

    def as_event(self) -> RawEvent:
        """Return an event in their place, so that they become a dead letter."""
        what = f"offset {self.last}" if self.first == self.last else f"offsets {self.first} to {self.last}"
        reason = (
            f"{what} of {self.part.topic}/{self.part.partition} cannot be read ({self.reason}) and is skipped. Send the events "
            "again from their source; until its retention ends the broker still has the damaged batch"
        )
        position = Position(self.part.topic, self.part.partition, self.last)
        return RawEvent(position, None, None, (), datetime.now(UTC), unreadable=reason)


@dataclass(frozen=True, slots=True)
class _NoEvents:
    """A whole batch up to `last` without events: the end of a transaction, or one that was aborted.

    It is neither damage nor proof that events can be read.
    """

    last: int


def is_unreadable(error: BaseException) -> bool:
    """Return whether an error of `poll` speaks of the data, and not of the cluster or the way to it."""
    return isinstance(error, kafka_errors.CorruptRecordError) or not isinstance(error, kafka_errors.KafkaError | OSError)


def find_unreadable(connection: Connection, part: KafkaPartition, start: int) -> tuple[Sequence[Unreadable], int]:
    """Return the unreadable ranges from `start` on, up to the first offset that can be read, and that offset.

    Nothing is given up before something behind it was read: that proves the way and the codecs. Raises `RetryError` until then.
    """
    found: list[Unreadable] = []
    offset = start
    try:
        while (one := _look(connection, part, offset)) is not None:
            if isinstance(one, Unreadable):
                found.append(one)
            offset = one.last + 1
    except (_EndOfLogError, kafka_errors.OffsetOutOfRangeError):
        # With nothing found it may have been removed meanwhile: the consumer continues at what is left, and tells of the gap.
        if found:
            message = (
                f"{part.topic}/{part.partition} cannot be read from offset {start} to its end ({found[0].reason}). Nothing is "
                "skipped: it is tried again, and given up as a dead letter once an event behind it can be read. Check the "
                "broker's disk and the network."
            )
            raise RetryError(message) from None
    return found, offset


class _EndOfLogError(Exception):
    """There is no batch at the offset yet."""


def _look(connection: Connection, part: KafkaPartition, offset: int) -> Unreadable | _NoEvents | None:
    """Return what is to be stepped over at `offset`, None when an event can be read there."""
    seen: set[bytes] = set()
    reason = "its checksum is wrong"
    for _ in range(_READS):
        try:
            # A connection of its own each time: what the way changes must not come alike.
            with contextlib.closing(BatchReader(connection)) as reader:
                fetched = reader.read(part, offset)
        except kafka_errors.CorruptRecordError as error:
            seen.add(b"")
            reason = f"the broker says: {in_words(error)}"
        else:
            if not fetched.batch:
                raise _EndOfLogError
            if batches.is_whole(fetched.batch):
                return _parsed(part, offset, fetched)
            seen.add(fetched.batch)
    if len(seen) > 1:
        message = (
            f"{part.topic}/{part.partition} at offset {offset} came with other bytes each time: the way to the broker changes "
            "them. Nothing is skipped, it is tried again. Check the network, or use TLS."
        )
        raise RetryError(message)
    last = batches.last_offset(seen.pop())
    return Unreadable(part, offset, last if last is not None and last >= offset else offset, reason)


def _parsed(part: KafkaPartition, offset: int, fetched: Fetched) -> Unreadable | _NoEvents | None:
    """Judge a batch that came as it was published: the client may be unable to make sense of it all the same."""
    try:
        if not batches.offsets(fetched):
            return _NoEvents(batches.last_offset(fetched.batch) or offset)
    except kafka_errors.UnsupportedCodecError as error:
        message = (
            f"{part.topic}/{part.partition} cannot be unpacked at offset {offset} ({in_words(error)}). Nothing is skipped: it is "
            "tried again. Install what the codec needs, or publish with another."
        )
        raise RetryError(message) from error
    except Exception as error:  # noqa: BLE001 - whatever parsing raises
        return Unreadable(part, offset, batches.last_offset(fetched.batch) or offset, in_words(error))
    return None
