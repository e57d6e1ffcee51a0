"""Tasks that a person has paused: they start no run and promote nothing by themselves until they are resumed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from config.clock import Clock
from config.errors import UserError
from registry.database.engine import Database
from registry.database.schema import paused_tasks
from registry.people.audit import Audit


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a task is paused."""

    task: str
    since: datetime
    actor: str
    reason: str


class Pauses:
    """The pauses in force. Each change is one transaction with its audit entry."""

    def __init__(self, database: Database, clock: Clock, audit: Audit) -> None:
        self._database = database
        self._clock = clock
        self._audit = audit

    def of(self, task: str) -> Pause | None:
        """Return why a task is paused, None while it is not."""
        return self.every().get(task)

    def every(self) -> dict[str, Pause]:
        """Return every pause in force, by task."""
        with self._database.read() as connection:
            found = connection.execute(sa.select(paused_tasks).order_by(paused_tasks.c.task))
            return {row.task: Pause(**row._mapping) for row in found}  # noqa: SLF001 - SQLAlchemy's documented way to a row as a mapping

    def pause(self, task: str, *, actor: str, reason: str) -> Pause:
        """Pause a task and return its pause. Raises `UserError` where it is paused already: that pause stays as it is."""
        made = Pause(task, self._clock(), actor, reason)
        with self._database.write() as connection:
            held = connection.execute(sa.select(paused_tasks).where(paused_tasks.c.task == task)).one_or_none()
            if held is not None:
                message = (
                    f"task {task!r} is paused already, since {held.since:%Y-%m-%d %H:%M} UTC by {held.actor} ({held.reason}); "
                    f"nothing was changed. `perennial resume {task}` ends it"
                )
                raise UserError(message)
            connection.execute(sa.insert(paused_tasks).values(task=task, since=made.since, actor=actor, reason=reason))
            self._audit.add("pause", actor=actor, reason=reason, task=task, connection=connection)
        return made

    def resume(self, task: str, *, actor: str, reason: str) -> Pause:
        """End the pause of a task and return what it was. Raises `UserError` where it is not paused."""
        with self._database.write() as connection:
            held = connection.execute(sa.select(paused_tasks).where(paused_tasks.c.task == task)).one_or_none()
            if held is None:
                message = f"task {task!r} is not paused; nothing was changed"
                raise UserError(message)
            connection.execute(sa.delete(paused_tasks).where(paused_tasks.c.task == task))
            details = {"since": held.since.isoformat(), "paused_by": held.actor}
            self._audit.add("resume", actor=actor, reason=reason, task=task, details=details, connection=connection)
        return Pause(**held._mapping)  # noqa: SLF001 - as above
