"""Who changed what, when and why: moves of champions, runs that somebody asked for, and what audit entries tell beside these."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

from daemon.views.view import View

if TYPE_CHECKING:
    from consumers.buffer.reader import BufferReader
    from registry.store import Registry


class Entry(View):
    """One thing that was done."""

    at: datetime
    task: str | None
    """None: it concerns no task alone."""
    what: str
    """`promote`, `rollback`, `pin`, `unpin`, `train`, `refuse`, or the action of an audit entry, such as `pause`."""
    version: str | None
    """The version that answers since then; None for what moves no champion."""
    before: str | None
    """The version that answered before."""
    by: str
    """`gate` for a verdict, `operator` for a command, who was signed in for the page; of `train` the source of its event; of
    `refuse` the sandbox."""
    why: str
    subject: str | None = None
    """What it was done to, where that is neither a version nor the task: `dead letter 17`."""
    corrected: int = 0
    """Of a promotion: labels that the version was decided on and that were corrected since."""


def entries(registry: Registry, buffer: BufferReader | None, task: str | None, limit: int) -> list[Entry]:
    """Return the newest `limit` entries, newest first, of one task or of all; without a buffer nobody has asked for a run.

    Raises `RetryError` when something cannot be read now.
    """
    touched = _touched(registry, task)
    moves = [
        Entry(
            at=move.moved_at, task=move.task, what=move.kind, version=move.to_version, before=move.from_version, by=move.actor,
            why=move.reason, corrected=touched[move.to_version] if move.kind == "promote" else 0,
        )
        for move in registry.versions.newest_moves(task, limit)
    ]  # fmt: skip
    asked = [
        Entry(at=one.at, task=one.task, what="train", version=None, before=None, by=one.source or "unknown", why=one.reason)
        for one in (buffer.requests("retrain") if buffer is not None else ())
        if task is None or one.task == task
    ]
    noted = [
        Entry(
            at=one.at, task=one.task, what=one.action, version=None, before=None, by=one.actor, why=one.reason,
            subject=one.subject,
        )
        for one in registry.audit.newest(task, limit)
    ]  # fmt: skip
    return sorted((*moves, *asked, *noted, *_refused(registry, task, limit)), key=lambda entry: entry.at, reverse=True)[:limit]


def _touched(registry: Registry, task: str | None) -> Counter[str]:
    """Return by version how many labels were corrected that it had been decided on."""
    from registry.people import corrected  # noqa: PLC0415 - heavy, as the registry is

    runs = Counter(run_id for mark in corrected.marks(registry, task) for run_id in mark.decisions)
    known = registry.runs.several(list(runs)) if runs else {}
    return Counter({run.version: runs[run.run_id] for run in known.values() if run.version is not None})


def _refused(registry: Registry, task: str | None, limit: int) -> list[Entry]:
    """Return an entry for each candidate that the sandbox refused, at the time of the verdict."""
    versions = registry.versions.refused(task, limit)
    runs = registry.runs.several([version.run_id for version in versions])
    decided = {run_id: run.finished_at for run_id, run in runs.items()}
    return [
        Entry(
            at=decided.get(version.run_id) or version.created_at, task=version.task, what="refuse", version=None, before=None,
            by="sandbox", why=version.refused_by_sandbox or "", subject=version.name,
        )
        for version in versions
    ]  # fmt: skip
