"""Publishing to Kafka: acknowledged by all in-sync replicas, and kept until it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from config.errors import RetryError, UserError
from consumers.kafka.connection import CLOSE_MS, CONNECT_MS, REQUEST_MS, Connection, in_words, opened
from consumers.source import FETCH_MAX_BYTES, PUBLISH_BUFFER_BYTES

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
    refused: bool = False


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
            for one in self._on_the_way:
                # At least once: what failed before goes again, behind what was published since.
                one.future = one.future or self._send(one.event)
            waited_for = list(self._on_the_way)
        failures = {one: failure for one in waited_for if (failure := _failure(one, deadline)) is not None}
        # Each thread must hear of its own events, so another's refused ones stay until that thread flushes.
        refused = [one for one in failures if one.refused and one.thread == threading.get_ident()]
        with self._lock:
            self._on_the_way = [one for one in self._on_the_way if not one.durable and one not in refused]
            self._bytes = sum(one.size for one in self._on_the_way)
        waiting = [one for one in failures if not one.refused]
        if waiting:
            message = f"Kafka has not taken {len(waiting)} of {len(waited_for)} events ({failures[waiting[0]]}). "
            message += "They are kept. Flush again."
            raise RetryError(message)
        if refused:
            message = (
                f"Kafka refuses {len(refused)} of {len(waited_for)} events for good ({failures[refused[0]]}); they were not "
                f"stored. Send a shorter event, or raise max.message.bytes of topic {refused[0].event['topic']!r} first."
            )
            raise UserError(message)

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
            message = f"an event for topic {event['topic']!r} is larger than Kafka takes ({in_words(error)}); it was not stored."
            raise UserError(message) from error
        except kafka_errors.KafkaError as error:
            message = f"Kafka took no event for topic {event['topic']!r} ({in_words(error)}). Send it again. "
            message += "If the topic does not exist, make it with `perennial topics create`."
            raise RetryError(message) from error

    def _opened(self) -> KafkaProducer:
        if time.monotonic() - self._refused_at < _FAIL_FAST_S:
            # Threads that waited for the lock while another looked for a broker must not look one after the other.
            servers = ", ".join(self._connection["bootstrap_servers"])
            message = f"no Kafka broker answered at {servers} a moment ago; the event was not taken. Send it again."
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
    try:
        one.future.get(timeout=max(0.0, deadline - time.monotonic()))
    except kafka_errors.KafkaError as error:
        one.refused = isinstance(error, _REFUSED_FOR_GOOD)
        if one.future.is_done and not one.refused:
            one.future = None
        return in_words(error)
    one.durable = True
    return None
