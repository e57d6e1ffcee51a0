"""What a buffer holds, seen through its own interface, and how to publish to the log that feeds it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack, closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from config.sections import BufferSettings
from config.settings import load_settings
from consumers.buffer.open import open_reader, open_writer
from consumers.buffer.reader import BufferReader
from consumers.buffer.writer import BufferWriter
from consumers.dead_letters.store import DeadLetters
from consumers.erasure.requests import Erasures
from consumers.log.embedded.log import EmbeddedLog
from consumers.log.open import removed_events
from daemon.flow.groups import CONSUMERS
from daemon.flow.ingest_task import IngestTask
from daemon.telemetry.metrics import DaemonMetrics
from tests.support.sample_events import NOW, TASKS, wire

BUFFER_SETTINGS = BufferSettings(optimize_every=20, keep_versions_hours=1.0, retention_days=0.0, predictions_days=0.0)


def open_buffer(folder: Path) -> BufferWriter:
    """Open the real buffer with the shipped tasks and a clock that stands still."""
    return open_writer(folder, BUFFER_SETTINGS, tasks=TASKS, clock=lambda: NOW)


def look_into(folder: Path) -> BufferReader:
    """Open the same buffer beside its writer."""
    return open_reader(folder, tasks=TASKS, clock=lambda: NOW)


def rows(buffer: BufferReader) -> dict[str, list[Any]]:
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


def open_log(data_dir: Path) -> EmbeddedLog:
    """Open the event log of a data folder."""
    return EmbeddedLog(data_dir / "events.db", retention=timedelta(days=14))


def lag(log: EmbeddedLog) -> int:
    """Return how many events the daemon's consumers have not committed."""
    waiting = 0
    for group, topic in CONSUMERS.items():
        with closing(log.source(group, [topic])) as source:
            waiting += sum(source.lag().values())
    return waiting


def drain(data_dir: Path, *, batch: int = 50) -> tuple[str, ...]:
    """Ingest all that waits, as the daemon does, also after a repair of the buffer; return what was repaired."""
    settings = load_settings(data_dir=data_dir, ingest={"batch_events": batch, "poll_timeout_s": 0.01, "min_free_disk_mib": 0})
    with ExitStack() as stack:
        log = stack.enter_context(closing(open_log(data_dir)))
        erasures = stack.enter_context(closing(Erasures(data_dir)))
        letters = stack.enter_context(closing(DeadLetters(settings.dead_letter_file)))
        buffer = open_writer(
            data_dir / "buffer", BUFFER_SETTINGS, tasks=TASKS, clock=lambda: NOW, erasures=erasures,
            removed_events=partial(removed_events, settings),
        )  # fmt: skip
        stack.callback(buffer.close)
        tasks = [
            IngestTask(
                group, topic, event_log=log, buffer=buffer, dead_letters=letters, erasures=erasures, tasks=lambda: TASKS,
                settings=settings, metrics=DaemonMetrics(),
            )
            for group, topic in CONSUMERS.items()
        ]  # fmt: skip
        for task in tasks:
            stack.callback(task.close)
            task.step()
        while lag(log):
            for task in tasks:
                task.step()
        return buffer.repairs
