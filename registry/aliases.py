"""Which version an alias names, and every move it has made (reading; `promotion` moves them)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from registry.database import schema
from registry.database.schema import CHAMPION, PREVIOUS

MoveKind = Literal["promote", "rollback", "pin", "unpin"]


@dataclass(frozen=True, slots=True)
class Alias:
    """A name that points at one version of a task."""

    task: str
    name: str
    version: str
    generation: int
    """Grows by one with every move of the champion; pinning is not a move."""
    pinned: bool
    moved_at: datetime


@dataclass(frozen=True, slots=True)
class AliasMove:
    """One line of history: what was done to the champion alias, by whom and why."""

    task: str
    kind: MoveKind
    generation: int
    """The champion's generation afterwards."""
    from_version: str | None
    to_version: str
    actor: str
    reason: str
    moved_at: datetime


def champion(connection: Connection, task: str) -> Alias | None:
    """Return the version in production, None before the first promotion."""
    return next((alias for alias in of_task(connection, task) if alias.name == CHAMPION), None)


def previous(connection: Connection, task: str) -> Alias | None:
    """Return the version that a rollback goes back to, None before the second promotion."""
    return next((alias for alias in of_task(connection, task) if alias.name == PREVIOUS), None)


def of_task(connection: Connection, task: str) -> list[Alias]:
    """Return `champion` and `previous`, those that exist."""
    query = sa.select(schema.aliases).where(schema.aliases.c.task == task).order_by(schema.aliases.c.name)
    return [Alias(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's documented way to a row as a mapping


def every(connection: Connection) -> list[Alias]:
    """Return the aliases of all tasks."""
    query = sa.select(schema.aliases).order_by(schema.aliases.c.task, schema.aliases.c.name)
    return [Alias(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - as above


def history(connection: Connection, task: str) -> list[AliasMove]:
    """Return every move, oldest first."""
    moves = schema.alias_moves
    columns = [column for column in moves.c if column.name != "id"]
    query = sa.select(*columns).where(moves.c.task == task).order_by(moves.c.id)
    return [AliasMove(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - as above


def newest_moves(connection: Connection, task: str | None, limit: int) -> list[AliasMove]:
    """Return the newest `limit` moves, newest first, of one task or of all."""
    moves = schema.alias_moves
    columns = [column for column in moves.c if column.name != "id"]
    query = sa.select(*columns).order_by(moves.c.id.desc()).limit(limit)
    found = connection.execute(query if task is None else query.where(moves.c.task == task))
    return [AliasMove(**row._mapping) for row in found]  # noqa: SLF001 - as above
