"""Publishing to Kafka: acknowledged by all in-sync replicas, and kept until it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from config.errors import DeadLetterError, RetryError
from consumers.log.kafka.connection import CLOSE_MS, CONNECT_MS, REQUEST_MS, Connection, in_words, opened
from consumers.log.protocols import FETCH_MAX_BYTES, PUBLISH_BUFFER_BYTES

_LINGER_MS = 5
_FAIL_FAST_S = 1.0
_CLOSING_FLUSH_S = 10.0
_REFUSED_FOR_GOOD = (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError)


@dataclass(eq=False)
class _OnTheWay:
    """An event that is not known to be durable; without a future it must be sent again."""

    event: Mapping[str, Any]
    size: int
    future: Any
    thread: int = field(default_factory=threading.get_ident)
    durable: bool = False
    too_large: bool = False
    """Somebody's event was; only an event sent alone knows that it was its own."""
    refused: bool = False
    fatal: bool = False
    """The producer that had it sends nothing any more."""


class KafkaSink:
    """Publishes with acknowledgement of all in-sync replicas; whoever flushes waits for every thread's events. Thread-safe."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._producer: KafkaProducer | None = None
        self._refused_at = float("-inf")
        self._on_the_way: list[_OnTheWay] = []
        self._bytes = 0
        self._lock = threading.Lock()

    def publish(
        self, topic: str, value: bytes | None, *, key: bytes | None = None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """As `EventSink.publish`."""
        if self._bytes >= PUBLISH_BUFFER_BYTES:
            # Backpressure: the library itself buffers without a bound.
            self.flush()
        event = {"topic": topic, "value": value, "key": key, "headers": list(headers)}
        with self._lock:
            self._on_the_way.append(_OnTheWay(event, len(value or b""), self._send(event)))
            self._bytes += self._on_the_way[-1].size

    def flush(self, timeout_s: float = 30.0) -> None:
        """As `EventSink.flush`; what is not taken in time is kept and sent again by the next flush."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            waited_for = [one for one in self._on_the_way if not one.refused or one.thread == threading.get_ident()]
            for one in waited_for:
                if not one.refused:
                    # At least once: what failed before goes again, behind what was published since.
                    one.future = one.future or self._send(one.event)
            producer = self._producer
        failures = {one: failure for one in waited_for if (failure := _failure(one, deadline)) is not None}
        if suspects := [one for one in failures if one.too_large and not one.refused]:
            failures = {one: failure for one, failure in failures.items() if one not in suspects}
            failures |= self._each_alone(suspects, deadline)
        if any(one.fatal for one in failures):
            with self._lock:
                if self._producer is producer:
                    self._drop_producer()
        waiting = [one for one in failures if not one.refused]
        # Each thread must hear of its own events, and of one kind of failure after the other.
        told = [] if waiting else [one for one in failures if one.thread == threading.get_ident()]
        with self._lock:
            self._on_the_way = [one for one in self._on_the_way if not one.durable and one not in told]
            self._bytes = sum(one.size for one in self._on_the_way)
        if waiting:
            message = f"Kafka has not accepted {len(waiting)} of {len(waited_for)} events ({failures[waiting[0]]}). "
            message += "They are kept. Flush again."
            raise RetryError(message)
        if told:
            message = (
                f"Kafka permanently refuses {len(told)} of {len(waited_for)} events ({failures[told[0]]}); they were not "
                f"stored. Send a shorter event, or raise max.message.bytes of topic {told[0].event['topic']!r} first."
            )
            raise DeadLetterError(message)

    def _each_alone(self, suspects: Sequence[_OnTheWay], deadline: float) -> dict[_OnTheWay, str]:
        """Send each on a separate producer: one that was refused an event gives up all it holds, with the same error."""
        failures: dict[_OnTheWay, str] = {}
        with self._lock:
            for one in suspects:
                self._drop_producer()
                one.future = self._send(one.event)
                failure = _failure(one, deadline)
                one.refused = one.too_large
                if failure is not None:
                    failures[one] = failure
            if any(one.refused for one in suspects):
                self._drop_producer()
        return failures

    def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout=0)

    def close(self) -> None:
        """Flush, for ten seconds at most, and release the connections; raises as `flush` does."""
        if self._producer is None:
            return
        try:
            self.flush(_CLOSING_FLUSH_S)
        finally:
            producer, self._producer = self._producer, None
            if self._on_the_way:
                # kafka-python 3.0.12 would wait for them, raise, and stay half open.
                producer._sender.force_close()  # noqa: SLF001 - see above
            producer.close(timeout=CLOSE_MS / 1000)

    def _send(self, event: Mapping[str, Any]) -> Any:  # noqa: ANN401 - kafka-python ships no types
        self._producer = self._producer or self._opened()
        try:
            return self._producer.send(**event)
        except _REFUSED_FOR_GOOD as error:
            message = f"an event for topic {event['topic']!r} is too large for Kafka ({in_words(error)}); it was not stored."
            raise DeadLetterError(message) from error
        except kafka_errors.KafkaError as error:
            if not error.retriable:
                self._drop_producer()
            message = f"Kafka accepted no event for topic {event['topic']!r} ({in_words(error)}). Send it again. "
            message += "If the topic does not exist, make it with `perennial topics create`."
            raise RetryError(message) from error

    def _opened(self) -> KafkaProducer:
        if time.monotonic() - self._refused_at < _FAIL_FAST_S:
            # Threads that waited for the lock while another looked for a broker must not look one after the other.
            servers = ", ".join(self._connection["bootstrap_servers"])
            message = f"no Kafka broker answered at {servers} a moment ago; the event was not sent. Send it again."
            raise RetryError(message)
        try:
            return opened(
                KafkaProducer, self._connection, acks="all", enable_idempotence=True, allow_auto_create_topics=False,
                compression_type="lz4", max_request_size=FETCH_MAX_BYTES, max_block_ms=CONNECT_MS, request_timeout_ms=REQUEST_MS,
                delivery_timeout_ms=2 * REQUEST_MS, linger_ms=_LINGER_MS,
            )  # fmt: skip
        except RetryError:
            self._refused_at = time.monotonic()
            raise


def _failure(one: _OnTheWay, deadline: float) -> str | None:
    """Wait for one event; return why it is not durable, None when it is."""
    future, one.too_large = one.future, False
    if future is None:
        return "another thread's flush found it failed; the next one sends it again"
    try:
        future.get(timeout=max(0.0, deadline - time.monotonic()))
    except kafka_errors.KafkaError as error:
        one.too_large = isinstance(error, _REFUSED_FOR_GOOD)
        # kafka-python 3.0.12: after such an answer (a checksum that did not fit) an idempotent producer fails all it is given.
        one.fatal = future.is_done and not error.retriable and not one.too_large
        if future.is_done and not one.refused:
            one.future = None
        return in_words(error)
    one.durable = True
    return None
