"""The clock: passed in wherever time matters, so that a test can hold it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

MAX_DAYS = 36_500
"""The longest span a setting may give, in days: an event's time less a hundred years is still a date."""

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.now(UTC)


def steady_s() -> float:
    """Return monotonic seconds, including sleep of the machine where the system supports it (Linux)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class ClockWatch:
    """Tells how far the wall clock has jumped since this was made: what is removed by age must not follow a wrong clock."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = steady_s) -> None:
        self._wall = wall
        self._steady = steady
        self._ahead_s = wall() - steady()

    def jumped_s(self) -> float:
        """Return the seconds; below 0: back."""
        return self._wall() - self._steady() - self._ahead_s
