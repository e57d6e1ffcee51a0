"""Marks of verdicts that labels took part in which were corrected since. A mark changes no verdict and moves no alias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from registry.store import Registry

ACTION = "label.correct"


@dataclass(frozen=True, slots=True)
class Mark:
    """One label that was corrected."""

    event_id: str
    """Of the correction."""
    at: datetime
    by: str
    why: str
    decisions: frozenset[str]
    """The runs that were decided on it before."""


def record(
    registry: Registry, task: str, *, event_id: str, actor: str, reason: str, subject: str, decisions: Sequence[str],
    learnt_by: Sequence[str],
) -> None:  # fmt: skip
    """Record a correction and the verdicts that it touches."""
    details = {"event": event_id, "decisions": list(decisions), "learnt_by": list(learnt_by)}
    registry.audit.add(ACTION, actor=actor, reason=reason, task=task, subject=subject, details=details)


def marks(registry: Registry, task: str | None) -> list[Mark]:
    """Return the corrections of a task's labels, or of all tasks', oldest first."""
    return [
        Mark(one.details["event"], one.at, one.actor, one.reason, frozenset(one.details["decisions"]))
        for one in registry.audit.of_action(ACTION, task)
    ]


def since(registry: Registry, task: str, run_id: str) -> list[Mark]:
    """Return the corrections of labels that a run was decided on, oldest first."""
    return [one for one in marks(registry, task) if run_id in one.decisions]
