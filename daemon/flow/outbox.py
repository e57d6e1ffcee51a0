"""Publishes what the registry's outbox holds: `training.*` and `model.*` events that apps can follow, as CloudEvents."""

from __future__ import annotations

import json

import structlog

from config.errors import PerennialError
from consumers.events.cloud_events import headers_of
from consumers.events.schemas import LIFECYCLE_TOPIC
from consumers.log.protocols import EventSink
from registry.store import Registry

log = structlog.get_logger(__name__)

_BATCH = 100
_PAUSE_S = 1.0
# Not longer: a stop waits for it while the broker is away.
_FLUSH_S = 10.0


class Publisher:
    """Moves outbox rows into the event log, at least once, in order."""

    def __init__(self, registry: Registry, sink: EventSink) -> None:
        self._registry = registry
        self._sink = sink
        self._newest_published = 0

    def step(self) -> float:
        """Publish one batch; return the seconds to wait before the next. Raises `RetryError` when the log takes none now."""
        pending = self._registry.outbox.pending(_BATCH)
        for row in pending:
            if row.id <= self._newest_published:
                # The sink still holds it, or the log already does: a flush or a mark failed before.
                continue
            task = str(row.event["task"])
            # CloudEvents in binary mode: readers of plain JSON find the value as it always was.
            about = row.event.get("version") or row.event.get("run_id")
            headers = headers_of(row.event, source=f"/perennial/{task}", subject=about)
            self._sink.publish(LIFECYCLE_TOPIC, json.dumps(row.event).encode(), key=task.encode(), headers=headers)
            self._newest_published = row.id
        if pending:
            self._sink.flush(_FLUSH_S)
            self._registry.outbox.mark_sent([row.id for row in pending])
        return 0.0 if len(pending) == _BATCH else _PAUSE_S

    def close(self) -> None:
        """Release the sink; what the log does not take now goes out at the next start."""
        try:
            self._sink.close()
        except PerennialError as error:
            log.warning(
                "outbox.not_published", reason=str(error), next="the registry keeps the events; the next start sends them"
            )
