"""A way to reach people."""

from __future__ import annotations

from typing import Protocol

from config.errors import PerennialError
from daemon.notifications.notice import Notice


class RefusedError(PerennialError):
    """The receiver refuses this notice for good: sending it again changes nothing."""


class Channel(Protocol):
    """Sends notices; each call ends within seconds."""

    @property
    def name(self) -> str:
        """What the log and the registry call it."""
        ...

    def send(self, notice: Notice) -> None:
        """Send one notice. Raises `RetryError` where it may be taken later, `RefusedError` where it never will."""
        ...
