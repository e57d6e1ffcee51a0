"""The protocols that every event log fulfils, and the raw event they carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

FETCH_MAX_BYTES = 64 << 20
"""One read of the log ends at this many bytes, or after one event that is larger."""
PUBLISH_BUFFER_BYTES = 32 << 20
"""A sink with this many unflushed bytes flushes before it accepts more."""
ERASED_HEADER = "perennial-erased"
"""The one header of an event whose value and key were erased; it keeps its offset."""


class TopicPartition(NamedTuple):
    """One ordered sequence of events."""

    topic: str
    partition: int


class Position(NamedTuple):
    """The position of an event in the log."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class RawEvent:
    """An event as the log keeps it: bytes, undecoded. `value` is None for a tombstone.

    `unreadable` says in words that the log could not hand out one or more events, the last of which stands at `position`.
    `missing_before` counts the events before it that were removed from the log before this group read them.
    """

    position: Position
    value: bytes | None
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    logged_at: datetime
    unreadable: str | None = None
    missing_before: int = 0

    @property
    def erased(self) -> bool:
        """Whether its content was erased in the log."""
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

    def hold(self) -> None:
        """Stay a member of the group without being handed events; called while what was polled cannot be stored yet.

        Raises `RetryError` when the log cannot be reached.
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

        Raises `RetryError` when the log takes none now, `DeadLetterError` when it never takes an event of this size.
        """
        ...

    def flush(self, timeout_s: float = 30.0) -> None:
        """Return when everything published by this thread is durable.

        Raises `RetryError` after `timeout_s`, `DeadLetterError` when the log refused some for good; the others are durable then.
        """
        ...

    def close(self) -> None:
        """Flush and release everything."""
        ...


class EventLog(Protocol):
    """Where events live. Opens sources and sinks, each of which is closed by whoever opened it. Thread-safe."""

    def source(self, group: str, topics: Sequence[str], *, fetch_max_bytes: int = FETCH_MAX_BYTES) -> EventSource:
        """Return `group`'s view of `topics`; a group seen for the first time starts at the earliest event."""
        ...

    def sink(self) -> EventSink:
        """Return a publisher."""
        ...

    def kept(self, topic: str) -> int:
        """Return how many events of a topic are kept. Raises `RetryError`."""
        ...

    def beginning(self, topic: str) -> Mapping[TopicPartition, int]:
        """Return the first offset that each partition of a topic still holds; earlier ones were removed. Raises `RetryError`."""
        ...

    def committed(self, group: str, topic: str) -> Mapping[TopicPartition, int]:
        """Return the group's committed position in each partition of a topic, 0 where it has none. Raises `RetryError`."""
        ...

    def rewind(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Set a group's committed positions back, never forward, so that events whose rows were lost come again.

        Call before `source`. Raises `RetryError`.
        """
        ...

    def enforce_retention(self) -> int:
        """Remove what is too old, where the log does not do so by itself; return how many events."""
        ...

    def find(self, matches: Callable[[bytes], bool]) -> Sequence[Position]:
        """Return the positions of all events, of any topic, read or not, whose bytes `matches` accepts."""
        ...

    def erase(self, positions: Sequence[Position]) -> frozenset[Position]:
        """Remove the bytes of these events, durably, and return those whose bytes are still there.

        What comes of an erased event is `RawEvent.erased`. A log that cannot change what it holds is asked again until its
        retention has removed them. Raises `RetryError`.
        """
        ...

    def compact(self) -> None:
        """Leave no copy of erased bytes behind, where the log can do so. Raises `RetryError`."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...
