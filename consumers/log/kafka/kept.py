"""Whether the broker keeps events between two offsets, looked up beneath the consumer."""

from __future__ import annotations

from kafka import errors as kafka_errors
from kafka.structs import TopicPartition as KafkaPartition

from config.errors import RetryError
from consumers.log.kafka import batches
from consumers.log.kafka.batches import BatchReader
from consumers.log.kafka.connection import Connection, in_words


class KeptEvents:
    """Looks over one connection, kept open; not thread-safe."""

    def __init__(self, connection: Connection) -> None:
        self._reader = BatchReader(connection)
        # Where nothing was found the last time: an aborted transaction may be large, and is asked about again and again.
        self._empty: dict[KafkaPartition, tuple[int, int]] = {}

    def any_between(self, part: KafkaPartition, first: int, before: int) -> bool:
        """Return whether there is an event with an offset from `first` on and before `before`. Raises `RetryError`.

        The ends of transactions, and all of one that was aborted or is still open, are no events.
        """
        empty_from, empty_to = self._empty.get(part, (0, 0))
        at = empty_to if empty_from <= first <= empty_to else first
        try:
            while at < before and (fetched := self._reader.read(part, at)).batch:
                if not batches.is_whole(fetched.batch):
                    message = f"{part.topic}/{part.partition} came damaged at offset {at}; it is tried again"
                    raise RetryError(message)
                if any(at <= offset < before for offset in batches.offsets(fetched)):
                    return True
                at = max(at, batches.last_offset(fetched.batch) or 0) + 1
        except kafka_errors.OffsetOutOfRangeError:
            return False
        except kafka_errors.KafkaError as error:
            message = f"{part.topic}/{part.partition} could not be read at offset {at} ({in_words(error)}); it is tried again"
            raise RetryError(message) from error
        # The last batch may have begun behind the range.
        self._empty[part] = (first, min(at, before))
        return False

    def close(self) -> None:
        """Release the connection, and read everything again from here on."""
        self._empty.clear()
        self._reader.close()
