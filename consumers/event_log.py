"""The event log that the settings name."""

from __future__ import annotations

from datetime import timedelta

from config.clock import Clock, utc_now
from config.settings import Settings
from consumers.embedded import EmbeddedLog


def open_event_log(settings: Settings, *, clock: Clock = utc_now) -> EmbeddedLog:
    """Open the log; who opens it closes it. Raises `StopError` when it is corrupt or newer than this version."""
    return EmbeddedLog(settings.event_log_file, retention=timedelta(days=settings.events.retention_days), clock=clock)
