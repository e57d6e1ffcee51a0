"""Chooses where runs are carried out. Today: on this machine."""

from __future__ import annotations

import threading

from config.settings import Settings
from daemon.training.runners.local import LocalRunner
from daemon.training.runners.protocol import Runner


def open_runner(settings: Settings, stop: threading.Event) -> Runner:
    """Return what carries runs out until `stop` is set."""
    return LocalRunner(settings.training, stop)
