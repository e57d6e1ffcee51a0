"""Who changed what, when and why: every move of a champion, and every run that somebody asked for."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from daemon.views.view import View

if TYPE_CHECKING:
    from consumers.buffer.reader import BufferReader
    from registry.store import Registry


class Entry(View):
    """One thing that was done."""

    at: datetime
    task: str
    what: Literal["promote", "rollback", "pin", "unpin", "train"]
    version: str | None
    """The version that answers since then; None for `train`."""
    before: str | None
    """The version that answered before."""
    by: str
    """`gate` for a verdict, `operator` for a command, who was signed in for the page; of `train` the source of its event."""
    why: str


def entries(registry: Registry, buffer: BufferReader | None, task: str | None, limit: int) -> list[Entry]:
    """Return the newest `limit` entries, newest first, of one task or of all; without a buffer nobody has asked for a run.

    Raises `RetryError` when something cannot be read now.
    """
    moves = [
        Entry(
            at=move.moved_at, task=move.task, what=move.kind, version=move.to_version, before=move.from_version, by=move.actor,
            why=move.reason,
        )
        for move in registry.versions.newest_moves(task, limit)
    ]  # fmt: skip
    asked = [
        Entry(at=one.at, task=one.task, what="train", version=None, before=None, by=one.source or "unknown", why=one.reason)
        for one in (buffer.requests("retrain") if buffer is not None else ())
        if task is None or one.task == task
    ]
    return sorted((*moves, *asked), key=lambda entry: entry.at, reverse=True)[:limit]
