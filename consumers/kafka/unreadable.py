"""Finding the end of what cannot be read: a batch that is damaged, or that the client cannot parse.

A consumer that has raised is never polled again (kafka-python 3.0.12 spins), so every probe is a consumer of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from kafka import KafkaConsumer
from kafka import errors as kafka_errors
from kafka.structs import TopicPartition as KafkaPartition

from config.errors import RetryError
from consumers.kafka.connection import Connection, in_words, opened

_ATTEMPTS = 3
_PROBE_MS = 5_000


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Offsets `first` to `last` of a partition, which no attempt could read, and what the client said."""

    part: KafkaPartition
    first: int
    last: int
    reason: str


def is_unreadable(error: BaseException) -> bool:
    """Return whether an error of `poll` speaks of the data, and not of the cluster or the way to it."""
    return isinstance(error, kafka_errors.CorruptRecordError) or not isinstance(error, kafka_errors.KafkaError | OSError)


def find_unreadable(connection: Connection, part: KafkaPartition, start: int) -> tuple[Sequence[Unreadable], int]:
    """Return the unreadable ranges from `start` on, up to the first offset that can be read, and that offset.

    Nothing is given up before something behind it was read: that proves the way and the codecs. Raises `RetryError` until then.
    """
    found: list[Unreadable] = []
    end = _end(connection, part)
    offset = start
    while offset < end and (failure := _failure(connection, part, offset)) is not None:
        following = _end_of_batch(connection, part, offset, end, failure)
        found.append(Unreadable(part, offset, following - 1, in_words(failure)))
        offset = following
    if found and offset >= end:
        message = (
            f"{part.topic}/{part.partition} cannot be read from offset {start} to its end ({found[0].reason}). Nothing is "
            "skipped: it is tried again, and given up as a dead letter once an event behind it can be read. Check the broker's "
            "disk and the network."
        )
        raise RetryError(message)
    return found, offset


def _end_of_batch(connection: Connection, part: KafkaPartition, offset: int, end: int, failure: Exception) -> int:
    """Return the offset behind the batch that fails at `offset`."""

    def fails_alike(at: int) -> bool:
        other = _failure(connection, part, at)
        return other is not None and str(other) == str(failure)

    if not isinstance(failure, kafka_errors.CorruptRecordError):
        # The message does not tell one batch from the next: look at each offset.
        return next((at for at in range(offset + 1, end) if _failure(connection, part, at) is None), end)
    # The message names the batch, so that the offsets which fail alike are one stretch: gallop, then halve.
    low, step = offset, 1
    while low + step < end and fails_alike(low + step):
        low, step = low + step, step * 2
    high = min(low + step, end)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fails_alike(middle) else (low, middle)
    return high


def _failure(connection: Connection, part: KafkaPartition, offset: int) -> Exception | None:
    """Return why nothing can be read at `offset`, None when it can. Raises `RetryError` when the cluster does not answer."""
    failure: Exception | None = None
    for _ in range(_ATTEMPTS):
        with contextlib.closing(_probe(connection)) as consumer:
            consumer.assign([part])
            consumer.seek(part, offset)
            try:
                if consumer.poll(timeout_ms=_PROBE_MS, max_records=1):
                    return None
            except Exception as error:
                if not is_unreadable(error):
                    message = f"{part.topic}/{part.partition} could not be probed at offset {offset} ({in_words(error)})"
                    raise RetryError(message) from error
                failure = error
    if failure is None:
        message = f"{part.topic}/{part.partition} gave nothing at offset {offset} in {_ATTEMPTS} attempts; it is tried again"
        raise RetryError(message)
    return failure


def _end(connection: Connection, part: KafkaPartition) -> int:
    with contextlib.closing(_probe(connection)) as consumer:
        try:
            return int(consumer.end_offsets([part])[part])
        except kafka_errors.KafkaError as error:
            message = f"the end of {part.topic}/{part.partition} could not be asked for ({in_words(error)}); it is tried again"
            raise RetryError(message) from error


def _probe(connection: Connection) -> KafkaConsumer:
    # The smallest answer a broker gives is one whole batch.
    return opened(
        KafkaConsumer, connection, group_id=None, enable_auto_commit=False, auto_offset_reset="none",
        allow_auto_create_topics=False, max_partition_fetch_bytes=1, fetch_max_bytes=1,
    )  # fmt: skip
