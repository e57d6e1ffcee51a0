"""Every implementation of EventSource and EventSink, opened the same way for the contract suite."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from consumers.log.embedded.log import EmbeddedLog
from consumers.log.protocols import EventSink, EventSource, RawEvent
from tests.support.kafka_logs import KafkaUnderTest

PRODUCER = Path(__file__).with_name("producer.py")
REPOSITORY = Path(__file__).parents[2]


class LogUnderTest(Protocol):
    """One empty event log."""

    def source(self, group: str, topics: Sequence[str]) -> EventSource:
        """Open one group's source."""
        ...

    def sink(self) -> EventSink:
        """Open a sink."""
        ...

    def producer_command(self, topic: str, name: str, events: int) -> list[str]:
        """Return the command of a process that publishes `name-0`, `name-1`, ... and flushes every ten."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...


class EmbeddedUnderTest:
    """The embedded log in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "events.db"
        self.log = EmbeddedLog(self.path, retention=timedelta(days=1))

    def source(self, group: str, topics: Sequence[str]) -> EventSource:
        return self.log.source(group, topics)

    def sink(self) -> EventSink:
        return self.log.sink()

    def producer_command(self, topic: str, name: str, events: int) -> list[str]:
        return [sys.executable, str(PRODUCER), str(self.path), topic, name, str(events), "10"]

    def close(self) -> None:
        self.log.close()


IMPLEMENTATIONS: dict[str, Callable[[Path], LogUnderTest]] = {"embedded": EmbeddedUnderTest, "kafka": KafkaUnderTest}


def read(source: EventSource, count: int, *, within_s: float = 20.0) -> list[RawEvent]:
    """Poll until `count` events came; fail when they do not come in time or more come than asked."""
    events: list[RawEvent] = []
    deadline = time.monotonic() + within_s
    while len(events) < count and time.monotonic() < deadline:
        events.extend(source.poll(timeout_s=0.2, max_events=count - len(events)))
    assert len(events) == count, f"{len(events)} of {count} events came within {within_s} s"
    return events
