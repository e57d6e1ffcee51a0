"""Moves of the champion alias: promote, roll back, pin, unpin. Each is one transaction: all of it happens, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from config.errors import UserError
from registry import aliases, versions
from registry.aliases import Alias, MoveKind
from registry.database.schema import CHAMPION, PREVIOUS, alias_moves
from registry.database.schema import aliases as alias_table
from registry.leases import check_token
from registry.store import Registry

_EVENT_TYPES: Mapping[MoveKind, str] = {
    "promote": "model.promoted",
    "rollback": "model.rolled_back",
    "pin": "model.pinned",
    "unpin": "model.unpinned",
}


class ChampionMovedError(UserError):
    """The champion is no longer the one this move was decided against; nothing was changed."""


class PinnedError(UserError):
    """The champion is pinned; nothing was changed."""


@dataclass(frozen=True, slots=True)
class _Move:
    """What is to be done, by whom and why."""

    kind: MoveKind
    task: str
    actor: str
    reason: str
    event: Mapping[str, Any] = field(default_factory=dict)


def promote(
    registry: Registry,
    task: str,
    version: str,
    *,
    expected: str | None,
    actor: str,
    reason: str,
    fencing_token: int | None = None,
    event: Mapping[str, Any] | None = None,
) -> Alias:
    """Make `version` the champion if the champion is still `expected` (None: there is none yet).

    `event` adds to, or overrides, what the outgoing `model.promoted` event says. The same promotion repeated (after a
    crash) changes nothing. Raises `ChampionMovedError`, `PinnedError`, `UserError` for a version that cannot serve, and
    `StopError` when `fencing_token` is a former leader's.
    """
    with registry.database.write() as connection:
        check_token(connection, fencing_token)
        champion = aliases.champion(connection, task)
        if champion is not None and champion.version == version and _came_from(connection, task) == expected:
            return champion
        _check_still(task, champion, expected, wanted=version)
        return _point_to(registry, connection, _Move("promote", task, actor, reason, event or {}), version, champion)


def promote_by_hand(registry: Registry, version: str, *, actor: str, reason: str, force: bool = False) -> Alias:
    """Make `version` the champion of its task, whichever is now; with `force` also one that the sandbox refused.

    Raises as `promote` does.
    """
    found = registry.versions.get(version)
    if (refused := found.refused_by_sandbox) is not None:
        if not force:
            raise UserError(_refused(version, refused))
        reason = f"{reason} (forced; the sandbox had refused it, because {refused})"
    task = found.task
    champion = registry.versions.champion(task)
    expected = champion.version if champion else None
    return promote(registry, task, version, expected=expected, actor=actor, reason=reason)


def rollback(
    registry: Registry,
    task: str,
    *,
    to: str | None = None,
    expected: str | None = None,
    actor: str,
    reason: str,
    fencing_token: int | None = None,
    event: Mapping[str, Any] | None = None,
) -> Alias:
    """Make the previous champion, or the version `to`, the champion again; the one it replaces becomes `previous`.

    With `expected`, only if that is still the champion. Raises as `promote` does, and `UserError` when there is nothing to
    go back to.
    """
    with registry.database.write() as connection:
        check_token(connection, fencing_token)
        current = {alias.name: alias for alias in aliases.of_task(connection, task)}
        champion = current.get(CHAMPION)
        target = to or (current[PREVIOUS].version if PREVIOUS in current else None)
        if champion is None or target is None:
            message = f"task {task!r} has no earlier champion to go back to; nothing was changed. Name a version to promote it"
            raise UserError(message)
        if expected is not None:
            _check_still(task, champion, expected, wanted=target)
        never_answered = all(move.to_version != target for move in aliases.history(connection, task))
        if never_answered and (refused := versions.find(connection, target).refused_by_sandbox) is not None:
            raise UserError(_refused(target, refused))
        return _point_to(registry, connection, _Move("rollback", task, actor, reason, event or {}), target, champion)


def pin(registry: Registry, task: str, *, actor: str, reason: str, fencing_token: int | None = None) -> Alias:
    """Hold the champion: until `unpin`, every promotion and rollback is refused. Pinning twice changes nothing."""
    return _set_pinned(registry, _Move("pin", task, actor, reason), fencing_token)


def unpin(registry: Registry, task: str, *, actor: str, reason: str, fencing_token: int | None = None) -> Alias:
    """Let the champion move again. Unpinning twice changes nothing."""
    return _set_pinned(registry, _Move("unpin", task, actor, reason), fencing_token)


def _point_to(registry: Registry, connection: Connection, move: _Move, version: str, champion: Alias | None) -> Alias:
    if champion is not None and champion.pinned:
        message = (
            f"{champion.version} is pinned as champion of {move.task!r}, so {version} was not promoted; nothing was changed. "
            f"Unpin it with `perennial models unpin {move.task}`"
        )
        raise PinnedError(message)
    _check_can_serve(connection, move.task, version)
    if champion is not None and champion.version == version:
        message = f"{version} is already the champion of {move.task!r}; nothing was changed"
        raise UserError(message)
    values = {"generation": 1 if champion is None else champion.generation + 1, "pinned": False, "moved_at": registry.clock()}
    _write_alias(connection, move.task, CHAMPION, values | {"version": version})
    if champion is not None:
        _write_alias(connection, move.task, PREVIOUS, values | {"version": champion.version})
    return _record(registry, connection, move, champion)


def _set_pinned(registry: Registry, move: _Move, fencing_token: int | None) -> Alias:
    pinned = move.kind == "pin"
    with registry.database.write() as connection:
        check_token(connection, fencing_token)
        champion = aliases.champion(connection, move.task)
        if champion is None:
            message = f"task {move.task!r} has no champion yet; there is nothing to pin or unpin"
            raise UserError(message)
        if champion.pinned == pinned:
            return champion
        _write_alias(connection, move.task, CHAMPION, {"pinned": pinned})
        return _record(registry, connection, move, champion)


def _write_alias(connection: Connection, task: str, name: str, values: Mapping[str, Any]) -> None:
    here = (alias_table.c.task == task) & (alias_table.c.name == name)
    if connection.execute(sa.update(alias_table).where(here).values(**values)).rowcount == 0:
        connection.execute(sa.insert(alias_table).values(task=task, name=name, **values))


def _record(registry: Registry, connection: Connection, move: _Move, before: Alias | None) -> Alias:
    """Write the line of history and the outgoing event; return the champion as it is now."""
    after = aliases.champion(connection, move.task)
    assert after is not None  # noqa: S101 - every caller has just written it; narrows the type
    now = registry.clock()
    line = {
        "task": move.task,
        "generation": after.generation,
        "actor": move.actor,
        "reason": move.reason,
    }
    ends = {"from_version": None if before is None else before.version, "to_version": after.version}
    inserted = sa.insert(alias_moves).values(kind=move.kind, moved_at=now, **line, **ends).returning(alias_moves.c.id)
    number = connection.execute(inserted).scalar_one()
    told = {
        "event_id": f"{move.task}/moves/{number}",
        "type": _EVENT_TYPES[move.kind],
        "occurred_at": now.isoformat(),
        "version": ends["to_version"],
        "previous": ends["from_version"],
        "uri": registry.uri_of(after.version),
    }
    registry.outbox.add({**told, **line, **move.event}, connection=connection)
    return after


def _came_from(connection: Connection, task: str) -> str | None:
    """Return the champion before the present one."""
    return [move for move in aliases.history(connection, task) if move.kind in ("promote", "rollback")][-1].from_version


def _check_still(task: str, champion: Alias | None, expected: str | None, *, wanted: str) -> None:
    current = None if champion is None else champion.version
    if current != expected:
        message = (
            f"{wanted} was compared with {expected or 'no champion'}, but the champion of {task!r} is now {current or 'none'}; "
            f"nothing was changed. The next run compares again; to decide by hand, see `perennial models list {task}`"
        )
        raise ChampionMovedError(message)


def _refused(version: str, why: str) -> str:
    return (
        f"the sandbox refused {version}, because {why}; nothing was changed. Promote another version, or, if it must answer all "
        f"the same, `perennial models promote {version} --force --reason WHY`"
    )


def _check_can_serve(connection: Connection, task: str, name: str) -> None:
    version = versions.find(connection, name)
    if version.task != task:
        message = f"{name} is a version of task {version.task!r}, not of {task!r}; nothing was changed"
        raise UserError(message)
    if version.collected_at is not None:
        message = f"{name} cannot be served: its files were removed on {version.collected_at:%Y-%m-%d}. Nothing was changed"
        raise UserError(message)
