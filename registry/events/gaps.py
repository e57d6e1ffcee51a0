"""Events that the log removed before they were read: how many of each topic, and when that was found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from config.clock import Clock
from registry.database.engine import Database
from registry.database.schema import log_gaps


@dataclass(frozen=True, slots=True)
class Gap:
    """What is missing of one topic."""

    topic: str
    times: int
    """How often events were found missing."""
    missing: int
    """Events in all."""
    last_at: datetime


class Gaps:
    """The table of gaps. A line for each time: they are rare, and each is an alarm."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(self, topic: str, missing: int) -> None:
        """Record that so many events of a topic were gone before they were read."""
        with self._database.write() as connection:
            connection.execute(sa.insert(log_gaps).values(topic=topic, at=self._clock(), missing=missing))

    def by_topic(self) -> dict[str, Gap]:
        """Return what is missing of each topic that had a gap."""
        found = sa.select(log_gaps.c.topic, sa.func.count(), sa.func.sum(log_gaps.c.missing), sa.func.max(log_gaps.c.at))
        with self._database.read() as connection:
            rows = connection.execute(found.group_by(log_gaps.c.topic).order_by(log_gaps.c.topic))
            return {topic: Gap(topic, int(times), int(missing), last_at) for topic, times, missing, last_at in rows}
