"""Chooses where runs are carried out. Today: on this machine."""

from __future__ import annotations

import threading

import structlog

from config.settings import Settings
from daemon.process import child_environment
from daemon.training.runners.local import LocalRunner
from daemon.training.runners.protocol import Runner
from trainers.tracking import missing

log = structlog.get_logger(__name__)


def open_runner(settings: Settings, stop: threading.Event) -> Runner:
    """Return what carries runs out until `stop` is set."""
    trackers = settings.training.tracked_by
    for name in missing(trackers):
        log.warning("tracker.missing", tracker=name, next="runs go on without it", remedy=f"pip install 'perennial[{name}]'")
    return LocalRunner(settings.training, stop, environment=child_environment.for_trackers(settings))
