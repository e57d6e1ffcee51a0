"""Feedback straight to Kafka, for installations whose event log it is. Needs the extra `kafka`."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self, Unpack

from perennial_client.errors import RefusedError, UnavailableError, missing_extra
from perennial_client.feedback import TOPIC, Feedback, event, to_bytes

try:
    from kafka import KafkaProducer
    from kafka import errors as kafka_errors
    from kafka.net.compat import KafkaNetClient
except ImportError as error:
    raise missing_extra(error, "kafka") from error

_LONGEST_ID_BYTES = 512
_IDS = ("event_id", "user_id", "prediction_id", "article_id")
_VERDICTS = ("correction", "confirmation")
_LARGEST_EVENT_BYTES = 2 << 20
"""As serving and ingest take, unless they are set otherwise."""
_CLOSE_S = 5.0
_RECONNECT_MS = 1_000
"""A broker that came back is found after this long at most; the library's own limit is half a minute."""
_TOO_LARGE = (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError)


class KafkaFeedback:
    """Publishes feedback events, the same that serving publishes, one at a time. Thread-safe; a context manager.

    Nothing between the app and the log looks at the target: one that does not fit its task becomes a dead letter.
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str],
        *,
        topic: str = TOPIC,
        timeout_s: float = 30.0,
        **security: Any,  # noqa: ANN401 - handed on
    ) -> None:
        """`security` are kafka-python's own settings for SASL and TLS. Opening needs no broker.

        `timeout_s` is how long one `send` looks for a broker and the topic, and how long it then waits for the acknowledgement.
        """
        self._servers = [bootstrap_servers] if isinstance(bootstrap_servers, str) else list(bootstrap_servers)
        self._topic = topic
        self._timeout_s = timeout_s
        self._security = security
        self._producer: KafkaProducer | None = None
        self._lock = threading.Lock()

    def send(self, task: str, **fields: Unpack[Feedback]) -> str:
        """Publish one event and return its id; when this returns, every in-sync replica has it.

        Raises `RefusedError` for what would become a dead letter, `UnavailableError` when no broker took it in time: send it
        again with the same `event_id`, which the error names, and it is one event.
        """
        fields["occurred_at"] = fields.get("occurred_at") or datetime.now(UTC)
        sent = event(task, fields)
        value = _checked(sent)
        where = f"Kafka at {', '.join(self._servers)}, topic {self._topic}"
        later = f"send it again with event_id={sent['event_id']!r}: it is stored only once"
        try:
            self._publish(value, sent["event_id"].encode())
        except _TOO_LARGE as error:
            what = f"the event is too large ({error})"
            raise RefusedError(what, where, "send a shorter text, or name the article instead of its text") from error
        except (kafka_errors.KafkaError, OSError) as error:
            what = f"the event is not acknowledged ({type(error).__name__}: {error})"
            raise UnavailableError(what, where, f"check the address and that the topic exists, and {later}") from error
        return str(sent["event_id"])

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            self._drop_producer(_CLOSE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _publish(self, value: bytes, key: bytes) -> None:
        # One event at a time: a producer that is refused one gives up all that it holds, with the same error. While no broker
        # answers, one thread after the other tries; none may wait for all before it.
        if not self._lock.acquire(timeout=self._timeout_s):
            message = "events of other threads were sent first"
            raise kafka_errors.KafkaTimeoutError(message)
        try:
            self._producer = self._producer or _producer(self._servers, self._timeout_s, self._security)
            # It gives up by itself within that time, so that nothing is sent behind the caller's back later.
            self._producer.send(self._topic, value, key=key).get(timeout=self._timeout_s + _CLOSE_S)
        except kafka_errors.KafkaError as error:
            if not error.retriable:
                self._drop_producer(0)
            raise
        finally:
            self._lock.release()

    def _drop_producer(self, timeout_s: float) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout=timeout_s)


def _checked(sent: Mapping[str, Any]) -> bytes:
    """Return the event's bytes; refuse what ingest would refuse for every task, which over HTTP serving says."""
    for name in _IDS:
        if name in sent and not _is_id(sent[name]):
            what = f"{name} {sent[name]!r:.80} is not an id"
            remedy = f"send a printable string of at most {_LONGEST_ID_BYTES} bytes that neither begins nor ends with a space"
            raise RefusedError(what, f"feedback, field {name}", remedy, field=name)
    if sent.get("verdict") not in _VERDICTS:
        what = f"verdict is {sent.get('verdict')!r:.80}"
        raise RefusedError(what, "feedback, field verdict", f"send one of {', '.join(_VERDICTS)}", field="verdict")
    confirms = sent["verdict"] == "confirmation" and "prediction_id" in sent
    for name in ("user_id", "target"):
        if name not in sent and not (name == "target" and confirms):
            what = f"{name} is missing"
            raise RefusedError(what, f"feedback, field {name}", "add it", field=name)
    if not any(name in sent for name in ("prediction_id", "article_id", "text")):
        what = "none of prediction_id, article_id and text is given"
        raise RefusedError(what, "feedback", "send one of them")
    if not sent.get("text", ".").strip():
        what = "the text holds only white space"
        raise RefusedError(what, "feedback, field text", "send text, or leave it out", field="text")
    try:
        return to_bytes(sent)
    except UnicodeEncodeError:
        what = "a text holds half of a surrogate pair, which is not Unicode text"
        raise RefusedError(what, "feedback", "send the whole pair, or U+FFFD in its place") from None


def _is_id(value: object) -> bool:
    # Persian and Indic ids hold joiners, which Python counts as not printable; whether each is in its place the daemon knows.
    if not isinstance(value, str) or not value or value != value.strip():
        return False
    return value.translate({0x200C: None, 0x200D: None}).isprintable() and len(value.encode()) <= _LONGEST_ID_BYTES


def _producer(servers: Sequence[str], timeout_s: float, security: Mapping[str, Any]) -> KafkaProducer:
    clients: list[KafkaNetClient] = []

    def client(**options: object) -> KafkaNetClient:
        clients.append(KafkaNetClient(**options))
        # kafka-python 3.0.12 drops allow_auto_create_topics on the way to where it is read.
        clients[-1].cluster.config["allow_auto_create_topics"] = False
        return clients[-1]

    limit_ms = int(1000 * timeout_s)
    try:
        return KafkaProducer(
            bootstrap_servers=list(servers), kafka_client=client, bootstrap_timeout_ms=limit_ms, max_block_ms=limit_ms,
            request_timeout_ms=limit_ms // 2, delivery_timeout_ms=limit_ms, acks="all", enable_idempotence=True, linger_ms=0,
            compression_type="lz4", max_request_size=_LARGEST_EVENT_BYTES, allow_auto_create_topics=False,
            reconnect_backoff_max_ms=_RECONNECT_MS, **security,
        )  # fmt: skip
    except BaseException:
        # A constructor that fails leaves its thread and sockets behind (kafka-python 3.0.12).
        for left_behind in clients:
            left_behind.close()
        raise
