"""What a buffer holds, seen through its own interface, and how to publish to the log that feeds it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from config.sections import BufferSettings
from consumers.buffer import Buffer
from consumers.embedded import EmbeddedLog
from tests.support.sample_events import NOW, TASKS, wire

BUFFER_SETTINGS = BufferSettings(optimize_every=20, keep_versions_hours=1.0, retention_days=0.0)


def open_buffer(folder: Path, *, writer: bool = True) -> Buffer:
    """Open the real buffer with the shipped tasks and a clock that stands still."""
    return Buffer.open(folder, BUFFER_SETTINGS, tasks=TASKS, writer=writer, clock=lambda: NOW)


def rows(buffer: Buffer) -> dict[str, list[Any]]:
    """Return what is stored, sorted: a doubled row shows as a doubled entry."""
    return {
        "examples": sorted((row.row_id, row.text) for row in buffer.unenriched("examples", 100_000)),
        "articles": sorted((row.article_id, row.text) for row in buffer.unenriched("articles", 100_000)),
        "retrains": sorted(request.event_id for request in buffer.requests("retrain")),
        "counts": sorted(buffer.table_counts().items()),
    }


def publish(log: EmbeddedLog, payloads: Iterable[tuple[str, Any]]) -> None:
    """Publish (topic, payload) pairs and wait until they are durable: from here on they are acknowledged."""
    with closing(log.sink()) as sink:
        for topic, payload in payloads:
            sink.publish(topic, None if payload is None else wire(payload))
        sink.flush()
