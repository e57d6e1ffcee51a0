"""Whether a run may continue from the champion, or must begin at the base model."""

from __future__ import annotations

import structlog

from config.tasks import TaskSpec
from registry.versions import Version

_DECISIVE = ("kind", "backend", "base_model")
"""What a task must have in common with its champion's, for a run to continue from there."""

log = structlog.get_logger(__name__)


def is_allowed(champion: Version, task: TaskSpec) -> bool:
    """Return whether what the champion has learnt may be built upon."""
    if champion.affected_at is not None:
        log.info("run.champion_learnt_erased_texts", task=task.name, champion=champion.name, next="full run")
        return False
    before = champion.lineage.settings.get("task", {})
    now = {name: getattr(task, name) for name in _DECISIVE}
    was = {name: before.get(name, now[name]) for name in _DECISIVE}
    if was != now:
        log.info("run.task_changed", task=task.name, champion=champion.name, was=was, now=now, next="full run")
    return was == now
