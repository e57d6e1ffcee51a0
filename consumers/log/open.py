"""The event log that the settings name."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from datetime import timedelta

from config.clock import Clock, utc_now
from config.settings import Settings
from consumers.events.correcting import LabelCorrection
from consumers.events.schemas import (
    TOPIC_OF_TYPE,
    Erase,
    FeedbackReview,
    ImportUndo,
    Label,
    Retrain,
    TaskSchema,
    key_of,
    to_bytes,
)
from consumers.log.embedded.log import EmbeddedLog
from consumers.log.protocols import EventLog


def open_event_log(settings: Settings, *, clock: Clock = utc_now) -> EventLog:
    """Open the log; who opens it closes it. Raises `StopError` when the embedded file is corrupt or newer than this version."""
    if settings.events.backend == "kafka":
        from consumers.log.kafka.connection import security_of  # noqa: PLC0415 - the embedded log needs none of Kafka's client
        from consumers.log.kafka.log import KafkaLog  # noqa: PLC0415

        return KafkaLog(
            settings.kafka.servers, security=security_of(settings.kafka), group_prefix=f"{settings.kafka.group_prefix}."
        )
    return EmbeddedLog(settings.event_log_file, retention=timedelta(days=settings.events.retention_days), clock=clock)


def removed_events(settings: Settings, topics: Collection[str]) -> str | None:
    """Return, in words, which events of these topics the log holds no more; None: it holds all that ever came.

    Raises `RetryError` when the log cannot tell now.
    """
    with closing(open_event_log(settings)) as event_log:
        firsts = {part: first for topic in sorted(topics) for part, first in event_log.beginning(topic).items() if first}
    if not firsts:
        return None
    return ", ".join(f"those before offset {first} of {part.topic} / {part.partition}" for part, first in firsts.items())


def publish(
    settings: Settings, event: Retrain | FeedbackReview | Erase | Label | LabelCorrection | TaskSchema | ImportUndo
) -> None:
    """Hand what somebody asks for or says, at a command or on the page, over to the daemon that leads, durably."""
    with closing(open_event_log(settings)) as event_log, closing(event_log.sink()) as sink:
        sink.publish(TOPIC_OF_TYPE[event.type], to_bytes(event), key=key_of(event))
        sink.flush()
