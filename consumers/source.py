"""The two protocols every event log fulfils, and the raw event they carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

FETCH_MAX_BYTES = 64 << 20
"""One read of the log ends at so many bytes, or after one event that is larger."""
PUBLISH_BUFFER_BYTES = 32 << 20
"""A sink that holds so many bytes which are not durable flushes before it takes more."""
ERASED_HEADER = "perennial-erased"
"""The one header of an event whose value and key were erased; it keeps its offset."""


class TopicPartition(NamedTuple):
    """One ordered sequence of events."""

    topic: str
    partition: int


class Position(NamedTuple):
    """Where an event stands in the log."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class RawEvent:
    """An event as the log keeps it: bytes, undecoded. `value` is None for a tombstone."""

    position: Position
    value: bytes | None
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    logged_at: datetime

    @property
    def erased(self) -> bool:
        """Whether its bytes were erased where it stands in the log."""
        return self.value is None and any(name == ERASED_HEADER for name, _value in self.headers)


class EventSource(Protocol):
    """One consumer group's ordered view of some topics, at-least-once.

    An event is handed out again after a restart unless its position was committed. Not thread-safe: one thread polls.
    """

    def poll(self, *, timeout_s: float, max_events: int) -> Sequence[RawEvent]:
        """Return the next events, in order per partition; empty when none came within `timeout_s`.

        Raises `RetryError` when the log cannot be read now.
        """
        ...

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Record, durably, the offset after the last one that was dealt with, per partition.

        Never moves backwards. Raises `RetryError` when it cannot be recorded now; the events come again.
        """
        ...

    def lag(self) -> Mapping[TopicPartition, int]:
        """Return how many events wait beyond the committed offset, per partition."""
        ...

    def close(self) -> None:
        """Release everything; uncommitted events come again to the next source of the group."""
        ...


class EventSink(Protocol):
    """Where events are published. Thread-safe."""

    def publish(
        self, topic: str, value: bytes | None, *, key: bytes | None = None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Hand over one event (None: a tombstone); it is durable once `flush` returned.

        Raises `RetryError` when the log takes none now.
        """
        ...

    def flush(self, timeout_s: float = 30.0) -> None:
        """Return when everything published by this thread is durable. Raises `RetryError` after `timeout_s`."""
        ...

    def close(self) -> None:
        """Flush and release everything."""
        ...
