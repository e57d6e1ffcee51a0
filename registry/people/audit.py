"""Audit entries: what people did that no other record tells, who did it, when and why.

Moves of champions tell of themselves (`alias_moves`), and so do requests for runs (`retrain` events).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from config.clock import Clock
from config.errors import UserError
from registry.database.engine import Database
from registry.database.schema import audit


class By(NamedTuple):
    """Who does something, and why."""

    actor: str
    reason: str


IMPORT_UNDONE = "import.undo"
"""The action of an entry that says, in `details`, which versions had learnt from an import that was taken back."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that somebody did."""

    id: int
    at: datetime
    action: str
    """What was done, such as `pause`."""
    task: str | None
    """None: it concerns no task, or more than one."""
    subject: str | None
    """What it was done to, in words: `dead letter 17`; None: to the task."""
    actor: str
    """`operator` for a command, who was signed in for the page."""
    reason: str
    details: Mapping[str, Any]
    """Figures and hashes; never a text that somebody may ask to be erased."""


class Audit:
    """The table of entries. Nothing changes or removes one."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(
        self,
        action: str,
        *,
        actor: str,
        reason: str,
        task: str | None = None,
        subject: str | None = None,
        details: Mapping[str, Any] | None = None,
        connection: Connection | None = None,
    ) -> None:
        """Record an entry, in the transaction of `connection` when given: with what it tells of, or not at all.

        What happens outside the registry is recorded before it is done: after a crash between the two there may be an entry
        too many, and never a deed without one.
        """
        if connection is None:
            with self._database.write() as own:
                self.add(
                    action, actor=actor, reason=reason, task=task, subject=subject, details=details, connection=own,
                )  # fmt: skip
            return
        connection.execute(
            sa.insert(audit).values(
                at=self._clock(), action=action, task=task, subject=subject, actor=actor, reason=reason,
                details=dict(details or {}),
            )
        )  # fmt: skip

    def of_action(self, action: str, task: str | None = None) -> list[AuditEntry]:
        """Return all entries of an action, oldest first, of one task or of everything."""
        query = sa.select(audit).where(audit.c.action == action).order_by(audit.c.id)
        with self._database.read() as connection:
            found = connection.execute(query if task is None else query.where(audit.c.task == task))
            return [AuditEntry(**row._mapping) for row in found]  # noqa: SLF001 - as in `newest`

    def newest(self, task: str | None, limit: int) -> list[AuditEntry]:
        """Return the newest `limit` entries, newest first, of one task or of everything."""
        query = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
        with self._database.read() as connection:
            found = connection.execute(query if task is None else query.where(audit.c.task == task))
            return [AuditEntry(**row._mapping) for row in found]  # noqa: SLF001 - SQLAlchemy's documented way to a row as a mapping


def refuse_named(reason: str, names: Mapping[str, str | None]) -> None:
    """Raise `UserError` where a reason names somebody or something that may be erased: entries stay for good.

    `names` are the ids by what they are, such as `user`; None where there is none.
    """
    for kind, name in names.items():
        if name and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", reason, re.IGNORECASE):
            message = (
                f"--why names the {kind}, and a reason is kept for good, also after an erasure; nothing was done. Leave it out"
            )
            raise UserError(message)
