"""Announces label-flip alarms among the outgoing events."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import structlog

from config.clock import Clock, utc_now
from consumers.defence.alarms import Raised
from registry.store import Registry

RUNBOOK = "docs/runbooks/PerennialLabelFlips.md"

log = structlog.get_logger(__name__)


class Alarms:
    """Logs each alarm once, and keeps its event until the registry has taken it. One thread calls."""

    def __init__(self, registry: Registry, *, fencing_token: int | None, clock: Clock = utc_now) -> None:
        self._registry = registry
        self._token = fencing_token
        self._clock = clock
        self._waiting: list[dict[str, object]] = []

    def raised(self, alarms: Sequence[Raised]) -> None:
        """Tell of new alarms. Raises `RetryError` when the registry takes none now; the next call, even with no new one, does."""
        for alarm in alarms:
            said = alarm.as_log()
            log.error("feedback.label_flip_alarm", **said)
            about = {"event_id": f"alarm:{uuid.uuid4()}", "type": "alarm.raised", "occurred_at": self._clock().isoformat()}
            self._waiting.append({**about, "alarm": "label_flip", **said, "runbook": RUNBOOK})
        while self._waiting:
            self._registry.outbox.add(self._waiting[0], fencing_token=self._token)
            del self._waiting[0]
