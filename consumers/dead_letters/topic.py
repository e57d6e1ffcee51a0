"""Dead letters as events of their own, for whoever follows the topic; the durable list is `dead_letters.DeadLetters`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import structlog

from config.errors import DeadLetterError
from consumers.dead_letters.store import PREFIX_BYTES, Rejected
from consumers.events.schemas import DEAD_LETTERS_TOPIC
from consumers.log.protocols import EventSink

FLUSH_S = 10.0

_log = structlog.get_logger(__name__)


class DeadLetterTopic:
    """Publishes rejected events, at least once: key, headers and bytes as they came, position and reason in further headers."""

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink

    def publish(self, rejected: Sequence[Rejected]) -> None:
        """Return when all are durable. Raises `RetryError` when the topic takes none now."""
        for one in rejected:
            value = one.raw.value or b""
            told = {
                "reason": one.reason,
                "field": one.field or "",
                "position": "/".join(map(str, one.raw.position)),
                "sha256": hashlib.sha256(value).hexdigest(),
                "bytes": str(len(value)),
            }
            headers = [*one.raw.headers, *((f"perennial-{name}", text.encode()) for name, text in told.items())]
            # An event too large to be read is too large to be sent on.
            kept = value if one.keep_bytes else value[:PREFIX_BYTES]
            self._sink.publish(DEAD_LETTERS_TOPIC, kept, key=one.raw.key, headers=headers)
        if not rejected:
            return
        try:
            self._sink.flush(FLUSH_S)
        except DeadLetterError as error:
            # Kept in the file already; a topic with a small limit must not stop ingest for ever.
            _log.error("dead_letter_topic.refused", reason=str(error), next="these letters are in `perennial dlq list` only")
