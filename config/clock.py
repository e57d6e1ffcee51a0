"""The clock: passed in wherever time matters, so that a test can hold it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

MAX_DAYS = 36_500
"""The longest span a setting may give, in days: an event's time less a hundred years is still a date."""

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.now(UTC)
