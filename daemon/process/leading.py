"""What each part of the leader's process works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from config.clock import Clock, utc_now
from config.settings import Settings
from config.tasks import TaskSpec
from consumers.buffer.writer import BufferWriter
from registry.store import Registry


@dataclass(frozen=True, slots=True)
class Leading:
    """Settings and data of a process that leads, and the token by which the registry knows that it does."""

    settings: Settings
    tasks: Callable[[], Mapping[str, TaskSpec]]
    """Returns the task files in force: they may be reloaded."""
    buffer: BufferWriter
    registry: Registry
    fencing_token: int
    clock: Clock = utc_now
