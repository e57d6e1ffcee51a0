"""The embedded event log: a durable SQLite file with the semantics of Kafka that matter.

Each topic has one partition (0) of strictly ordered offsets without gaps. Any number of processes publish. A consumer group
reads from its own committed position, which only `commit` moves: delivery is at least once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Lock

import structlog

from config.clock import Clock, utc_now
from config.errors import RetryError
from config.files.sqlite_file import transaction, translated_errors
from consumers.log.embedded import erasure as log_erasure
from consumers.log.embedded.file import (
    PARTITION,
    Pending,
    append_events,
    bounds_of,
    decode_headers,
    encode_headers,
    from_microseconds,
    open_log,
    portion,
    size_of,
    to_microseconds,
    topics_of,
)
from consumers.log.gap import report_gap
from consumers.log.protocols import (
    FETCH_MAX_BYTES,
    PUBLISH_BUFFER_BYTES,
    EventSink,
    EventSource,
    Position,
    RawEvent,
    TopicPartition,
)

_FIRST_WAIT_S = 0.002
_LONGEST_WAIT_S = 0.05
# File systems record a write's time with the resolution of the kernel's tick, at most 10 ms.
_CLOCK_TICK_NS = 20_000_000
_FLUSH_TIMEOUT_S = 30.0
_RETENTION_CHUNK = 5_000

_log = structlog.get_logger(__name__)


class EmbeddedLog:
    """The log in one file; opens sources and sinks on it, each with its own connection. Thread-safe.

    Raises `StopError` when the file is corrupt or newer than this version.
    """

    def __init__(self, path: Path, *, retention: timedelta, clock: Clock = utc_now) -> None:
        self._path = path
        self._retention = retention
        self._clock = clock
        self._lock = Lock()
        self._connection = open_log(path)

    def source(self, group: str, topics: Sequence[str], *, fetch_max_bytes: int = FETCH_MAX_BYTES) -> EventSource:
        """Return `group`'s view of `topics`; a group seen for the first time starts at the earliest event.

        One poll ends once it has read `fetch_max_bytes`. Only one source per group may be polled at a time (the leader
        lease sees to it); a second one would read the same events.
        """
        return _EmbeddedSource(self._path, group, topics, fetch_max_bytes)

    def sink(self) -> EventSink:
        """Return a thread-safe publisher: `publish` buffers, `flush` writes the buffer in one durable transaction."""
        return _EmbeddedSink(self._path, self._clock)

    def positions(self, topic: str) -> tuple[int, int]:
        """Return the first offset still kept and the next one to be given; equal when the topic is empty."""
        with self._lock, translated_errors(self._path):
            return bounds_of(self._connection, topic)

    def kept(self, topic: str) -> int:
        """Return how many events of a topic are kept."""
        first, following = self.positions(topic)
        return following - first

    def beginning(self, topic: str) -> Mapping[TopicPartition, int]:
        """Return the first offset that is still kept."""
        return {TopicPartition(topic, PARTITION): self.positions(topic)[0]}

    def committed(self, group: str, topic: str) -> Mapping[TopicPartition, int]:
        """Return the group's committed position in a topic, 0 when it has none."""
        query = "SELECT next_offset FROM positions WHERE consumer_group = ? AND topic = ?"
        with self._lock, translated_errors(self._path):
            row = self._connection.execute(query, (group, topic)).fetchone()
        return {TopicPartition(topic, PARTITION): int(row[0]) if row else 0}

    def rewind(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Set a group's committed position back, so that events whose rows were lost come again. Call before `source`.

        A position is never moved forward. Raises `RetryError`.
        """
        with self._lock, transaction(self._connection, self._path):
            self._connection.executemany(
                "UPDATE positions SET next_offset = min(next_offset, ?) WHERE consumer_group = ? AND topic = ?",
                [(offset, group, part.topic) for part, offset in offsets.items()],
            )
        _log.warning("event_log.rewound", group=group, offsets={part.topic: offset for part, offset in offsets.items()})

    def enforce_retention(self) -> int:
        """Remove events older than the retention that every known group of their topic has read; return how many.

        Freed pages are used again by later events; the file does not shrink.
        """
        cutoff_us = to_microseconds(self._clock() - self._retention)
        with self._lock, translated_errors(self._path):
            topics = topics_of(self._connection)
        return sum(self._remove_old(topic, cutoff_us) for topic in topics)

    def find(self, matches: Callable[[bytes], bool]) -> list[Position]:
        """Return the positions of all events, of any topic, read or not, whose bytes `matches` accepts."""
        return log_erasure.find(self._path, matches)

    def erase(self, positions: Sequence[Position]) -> frozenset[Position]:
        """Remove the bytes of these events, durably; offsets keep no gap. Returns those whose bytes are still there: none.

        What comes of such an event from now on is `RawEvent.erased`; one that retention has removed is passed over. Raises
        `RetryError`.
        """
        log_erasure.empty(self._path, positions)
        return frozenset()

    def compact(self) -> None:
        """Rewrite the file, so that no copy of erased bytes stays in it; producers wait meanwhile. Raises `RetryError`."""
        log_erasure.compact(self._path)

    def close(self) -> None:
        """Release the file; sources and sinks are closed on their own."""
        with self._lock:
            self._connection.close()

    def _remove_old(self, topic: str, cutoff_us: int) -> int:
        removed = 0
        while True:
            # Small transactions, so that producers wait for milliseconds only.
            with self._lock, transaction(self._connection, self._path):
                end = self._removable_end(topic, cutoff_us)
                gone = self._connection.execute("DELETE FROM events WHERE topic = ? AND event_offset < ?", (topic, end)).rowcount
            removed += gone
            if gone < _RETENTION_CHUNK:
                return removed

    def _removable_end(self, topic: str, cutoff_us: int) -> int:
        """Return the offset, at most a chunk ahead, before which everything is old and read.

        Only a prefix may go: offsets have no gaps.
        """
        first, following = bounds_of(self._connection, topic)
        end = min(following, first + _RETENTION_CHUNK)
        young = self._connection.execute(
            "SELECT min(event_offset) FROM events WHERE topic = ? AND event_offset < ? AND logged_at_us >= ?",
            (topic, end, cutoff_us),
        ).fetchone()[0]
        unread = self._connection.execute("SELECT min(next_offset) FROM positions WHERE topic = ?", (topic,)).fetchone()[0]
        return min(int(bound) for bound in (end, young, unread) if bound is not None)


class _EmbeddedSource:
    """One group's view; not thread-safe."""

    def __init__(self, path: Path, group: str, topics: Sequence[str], fetch_max_bytes: int) -> None:
        self._path = path
        self._group = group
        self._topics = deque(topics)
        self._fetch_max_bytes = fetch_max_bytes
        self._connection = open_log(path)
        # Registered durably at once: retention keeps what this group has not read, even before its first commit.
        with transaction(self._connection, path):
            self._connection.executemany(
                "INSERT OR IGNORE INTO positions VALUES (?, ?, ?)",
                [(group, topic, bounds_of(self._connection, topic)[0]) for topic in topics],
            )
        self._next = self._committed()

    def poll(self, *, timeout_s: float, max_events: int) -> Sequence[RawEvent]:
        deadline = time.monotonic() + timeout_s
        wait_s = _FIRST_WAIT_S
        modified_ns: int | None = None
        while True:
            # Producers live in other processes. Beside training on two cores an idle poll that read 20 times a second took 2.3 %
            # of a core, one that asks for the file's time 0.9 %.
            before_ns, modified_ns = modified_ns, self._modified_ns()
            events = [] if modified_ns is not None and modified_ns == before_ns else self._read(max_events)
            left_s = deadline - time.monotonic()
            if events or left_s <= 0:
                return events
            time.sleep(min(wait_s, left_s))
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def hold(self) -> None:
        # Nobody else takes this group's place.
        pass

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        with transaction(self._connection, self._path):
            self._connection.executemany(
                "UPDATE positions SET next_offset = max(next_offset, ?) WHERE consumer_group = ? AND topic = ?",
                [(offset, self._group, part.topic) for part, offset in next_offsets.items()],
            )

    def lag(self) -> Mapping[TopicPartition, int]:
        committed = self._committed()
        with translated_errors(self._path):
            ends = {topic: bounds_of(self._connection, topic) for topic in committed}
        return {
            TopicPartition(topic, PARTITION): max(0, following - max(first, committed[topic]))
            for topic, (first, following) in ends.items()
        }

    def close(self) -> None:
        self._connection.close()

    def _committed(self) -> dict[str, int]:
        with translated_errors(self._path):
            rows = self._connection.execute(
                "SELECT topic, next_offset FROM positions WHERE consumer_group = ?", (self._group,)
            ).fetchall()
        return {topic: offset for topic, offset in rows if topic in self._topics}

    def _modified_ns(self) -> int | None:
        """Return when the file was last written, None if too recent to rule out another write with the same timestamp."""
        try:
            modified_ns = self._path.stat().st_mtime_ns
        except OSError as error:
            message = f"the event log {self._path} cannot be read ({error.strerror}). Nothing was committed; it is tried again. "
            message += "Put the file back; if it is lost, restore it from a backup and restart the daemon."
            raise RetryError(message) from error
        return modified_ns if time.time_ns() - modified_ns > _CLOCK_TICK_NS else None

    def _read(self, max_events: int) -> list[RawEvent]:
        # Another topic goes first each time: a flooded topic must not starve the others.
        self._topics.rotate(-1)
        events: list[RawEvent] = []
        bytes_left = self._fetch_max_bytes
        for topic in self._topics:
            for event in self._read_topic(topic, max_events - len(events), bytes_left):
                events.append(event)
                bytes_left -= len(event.value or b"")
            if len(events) >= max_events or bytes_left <= 0:
                break
        # Only now, when the whole read went well: a failed poll must not skip events.
        for event in events:
            self._next[event.position.topic] = event.position.offset + 1
        return events

    def _read_topic(self, topic: str, limit: int, bytes_left: int) -> list[RawEvent]:
        query = (
            "SELECT event_offset, value, key, headers, logged_at_us FROM events "
            "WHERE topic = ? AND event_offset >= ? ORDER BY event_offset LIMIT ?"
        )
        with translated_errors(self._path):
            rows = portion(self._connection, query, (topic, self._next[topic], limit), value_at=1, max_bytes=bytes_left)
        events = [
            RawEvent(Position(topic, PARTITION, offset), value, key, decode_headers(headers), from_microseconds(logged_at_us))
            for offset, value, key, headers, logged_at_us in rows
        ]
        if events and events[0].position.offset > self._next[topic]:
            missing = report_gap(
                self._group,
                TopicPartition(topic, PARTITION),
                expected=self._next[topic],
                earliest=events[0].position.offset,
                remedy="raise events.retention_days",
            )
            events[0] = replace(events[0], missing_before=missing)
        return events


class _EmbeddedSink:
    """Publishes by group commit: whoever flushes first writes what every thread has buffered. Thread-safe."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._connection = open_log(path)
        self._buffer: list[Pending] = []
        self._buffered_bytes = 0
        self._closed = False
        self._buffer_lock = Lock()
        self._write_lock = Lock()

    def publish(
        self, topic: str, value: bytes | None, *, key: bytes | None = None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        if self._closed:
            message = f"an event for {topic} was published after the sink was closed; it was not taken. Send it again."
            raise RetryError(message)
        if self._buffered_bytes >= PUBLISH_BUFFER_BYTES:
            # Backpressure: memory stays bounded when nobody flushes, and a full disk shows here.
            self.flush()
        pending = Pending(topic, value, key, encode_headers(headers))
        with self._buffer_lock:
            self._buffer.append(pending)
            self._buffered_bytes += size_of(pending)

    def flush(self, timeout_s: float = _FLUSH_TIMEOUT_S) -> None:
        # Failed events stay buffered, in order, and go with the next flush: at least once.
        deadline = time.monotonic() + timeout_s
        if not self._write_lock.acquire(timeout=max(0.0, timeout_s)):
            message = f"{self._path}: another thread has been writing for {timeout_s:g} s; the events stay buffered. Flush again."
            raise RetryError(message)
        try:
            self._write_buffer(deadline)
        finally:
            self._write_lock.release()

    def close(self) -> None:
        self._closed = True
        try:
            self.flush()
        finally:
            with self._write_lock:
                self._connection.close()

    def _write_buffer(self, deadline: float) -> None:
        with self._buffer_lock:
            batch = list(self._buffer)
        if not batch:
            return
        wait_ms = max(1, int(1000 * (deadline - time.monotonic())))
        with translated_errors(self._path):
            self._connection.execute(f"PRAGMA busy_timeout = {wait_ms:d}")
        with transaction(self._connection, self._path):
            append_events(self._connection, batch, to_microseconds(self._clock()))
        with self._buffer_lock:
            # Only the holder of the write lock takes from the front, so the batch still stands there.
            del self._buffer[: len(batch)]
            self._buffered_bytes -= sum(size_of(pending) for pending in batch)
