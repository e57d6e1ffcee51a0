"""Outgoing events, written in the transaction of the change they report, published later at least once."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from config.clock import Clock
from registry.database.engine import Database
from registry.database.schema import outbox
from registry.leases import check_token


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """One event as it will be published; `id` grows in the order of writing."""

    id: int
    event: Mapping[str, Any]
    created_at: datetime


class Outbox:
    """Events that wait to be published."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(self, event: Mapping[str, Any], *, connection: Connection | None = None, fencing_token: int | None = None) -> None:
        """Queue an event, in the transaction of `connection` when given, else only while `fencing_token` leads.

        `event_id` and `occurred_at` are filled when missing; an `event_id` that was queued before is not queued again.
        """
        if connection is None:
            with self._database.write() as own:
                check_token(own, fencing_token)
                self.add(event, connection=own)
            return
        now = self._clock()
        filled = {"event_id": str(uuid.uuid4()), "occurred_at": now.isoformat(), **_json_without_infinity(event)}
        if connection.execute(sa.select(outbox.c.id).where(outbox.c.event_id == filled["event_id"])).first() is None:
            connection.execute(sa.insert(outbox).values(event_id=filled["event_id"], event=filled, created_at=now))

    def pending(self, limit: int = 100) -> list[OutgoingEvent]:
        """Return the oldest events not yet marked as sent, in order."""
        query = sa.select(outbox).where(outbox.c.sent_at.is_(None)).order_by(outbox.c.id).limit(limit)
        with self._database.read() as connection:
            return [OutgoingEvent(row.id, row.event, row.created_at) for row in connection.execute(query)]

    def after(self, number: int, limit: int = 100) -> list[OutgoingEvent]:
        """Return the oldest events behind the one with a number, in order, whether they were sent or not."""
        query = sa.select(outbox).where(outbox.c.id > number).order_by(outbox.c.id).limit(limit)
        with self._database.read() as connection:
            return [OutgoingEvent(row.id, row.event, row.created_at) for row in connection.execute(query)]

    def count_pending(self) -> int:
        """Return how many events wait to be sent."""
        query = sa.select(sa.func.count()).select_from(outbox).where(outbox.c.sent_at.is_(None))
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def mark_sent(self, ids: Sequence[int]) -> None:
        """Record that these events are durable in the event log; call it after the sink's flush, never before."""
        with self._database.write() as connection:
            connection.execute(
                sa.update(outbox).where(outbox.c.id.in_(ids), outbox.c.sent_at.is_(None)).values(sent_at=self._clock())
            )


def _json_without_infinity(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Replace what JSON cannot carry (infinity, NaN) by null: other languages read these events."""
    if isinstance(value, Mapping):
        return {key: _json_without_infinity(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json_without_infinity(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
