"""What people did at the desk: their answers until these are stored, who decided what, and what each of them skipped."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from config.clock import Clock
from registry.database.engine import Database, portions
from registry.database.schema import desk

Did = Literal["label", "decide", "skip"]


@dataclass(frozen=True, slots=True)
class Done:
    """One thing that a person did about one text."""

    task: str
    lane: str
    text_sha256: str
    annotator: str
    did: Did
    event_id: str | None
    """Of the event that says so; a skip has none."""
    said: Mapping[str, Any] | None
    """Of a label the target; of a decision `accept` and `reject`, lists of ids of feedback; of a skip its note."""
    at: datetime

    @property
    def about(self) -> frozenset[str]:
        """The ids of feedback that a decision is about."""
        return frozenset(one for ids in (self.said or {}).values() for one in ids) if self.did == "decide" else frozenset()


class Desk:
    """What was done, in order. The events stay for good; this is what people see before the daemon has read them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(
        self, task: str, lane: str, text_sha256: str, annotator: str, did: Did,
        *, event_id: str | None = None, said: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Record what a person did."""
        with self._database.write() as connection:
            _insert(connection, Done(task, lane, text_sha256, annotator, did, event_id, said, self._clock()))

    def claim(self, done: Done, *, within: timedelta) -> Done | None:
        """Record a decision about feedback, unless another person has decided about any of it `within` so long.

        Returns that person's decision, and then records nothing: of two who decide at once, one is told of the other.
        """
        with self._database.write() as connection:
            where = (desk.c.task == done.task) & (desk.c.did == "decide") & (desk.c.at > done.at - within)
            where &= desk.c.annotator != done.annotator
            for row in connection.execute(sa.select(desk).where(where).order_by(desk.c.id.desc())):
                if not done.about.isdisjoint((earlier := _done(row)).about):
                    return earlier
            _insert(connection, done)
        return None

    def withdraw(self, event_id: str) -> None:
        """Remove the record of an event that could not be published."""
        with self._database.write() as connection:
            connection.execute(sa.delete(desk).where(desk.c.event_id == event_id))

    def of(self, task: str) -> list[Done]:
        """Return what was done in a task, oldest first."""
        with self._database.read() as connection:
            return [_done(row) for row in connection.execute(sa.select(desk).where(desk.c.task == task).order_by(desk.c.id))]


def forget(connection: Connection, event_ids: Collection[str]) -> None:
    """Remove what was done by events that were erased, and all skips and decisions: they tell of texts that may be among them."""
    for some in portions(sorted(event_ids)):
        connection.execute(sa.delete(desk).where(desk.c.event_id.in_(some)))
    if event_ids:
        # So do labels that no event of its own says: those that corrected others.
        connection.execute(sa.delete(desk).where((desk.c.did != "label") | desk.c.event_id.is_(None)))


def _insert(connection: Connection, done: Done) -> None:
    values = {name: getattr(done, name) for name in desk.c.keys() if name != "id"}  # noqa: SIM118 - of columns, not of a dict
    connection.execute(sa.insert(desk).values(values))


def _done(row: Row[Any]) -> Done:
    return Done(**{name: value for name, value in row._mapping.items() if name != "id"})  # noqa: SLF001 - SQLAlchemy's documented way


def newest(done: Sequence[Done], annotator: str, most: int) -> list[Done]:
    """Return the last things that a person did, the newest first, each text once."""
    found: dict[tuple[str, str], Done] = {}
    for one in reversed(done):
        if one.annotator == annotator:
            found.setdefault((one.lane, one.text_sha256), one)
    return list(found.values())[:most]
