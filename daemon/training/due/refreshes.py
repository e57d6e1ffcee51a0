"""When the head of a champion is solved anew, between the runs that tune: a pure function of counts and ages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from config.tasks import TaskSpec
from config.words import counted
from registry.runs import REFRESH_KEY

if TYPE_CHECKING:
    from daemon.training.due.trigger_input import Evidence

_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Refresh:
    """A refresh that is due, or why none is."""

    key: str | None
    """Its trigger key; None: none is due."""
    reason: str
    """In words; empty where the task has no refreshes."""


def due(task: TaskSpec, evidence: Evidence, now: datetime) -> Refresh:
    """Decide whether the head of the champion is to be solved anew at `now`."""
    if not (task.refreshes and evidence.has_champion and evidence.refreshable):
        return Refresh(None, _why_it_stands(evidence.standing_head) if task.refreshes else "")
    needed = task.refresh.min_new_examples
    if evidence.fresh_weight + _ROUNDING < needed:
        more = counted(math.ceil(needed - evidence.fresh_weight - _ROUNDING), "more new example")
        return Refresh(None, f"{more} will refresh the head of the model")
    key = f"{REFRESH_KEY}{evidence.newest_seq}"
    if key in evidence.used_keys:
        return Refresh(None, "the head of the model was refreshed with these examples")
    # One that ended in the future: the clock was set back since, and nobody knows how long ago it was.
    if evidence.refreshed_at is not None and evidence.refreshed_at <= now:
        ready_at = evidence.refreshed_at + timedelta(minutes=task.refresh.cooldown_minutes)
        if now < ready_at:
            return Refresh(None, f"the head of the model is refreshed at {ready_at:%H:%M} UTC (refresh.cooldown_minutes)")
    has = math.floor(evidence.fresh_weight * 10 + _ROUNDING) / 10
    return Refresh(key, f"{has:g} new examples since the last run; {needed} refresh the head of the model")


def _why_it_stands(reason: str) -> str:
    if not reason:
        return ""
    told = f"its champion's head cannot be solved by itself ({reason.rstrip('.')})"
    return f"{told}; the next full or threshold run makes one that can"
