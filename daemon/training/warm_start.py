"""Whether a run may go on from the champion, or must begin at the base model."""

from __future__ import annotations

import structlog

from config.tasks import TaskSpec
from registry.versions import Version

log = structlog.get_logger(__name__)


def is_allowed(champion: Version, task: TaskSpec) -> bool:
    """Return whether what the champion has learnt may be built upon."""
    if champion.affected_at is not None:
        log.info("run.champion_learnt_erased_texts", task=task.name, champion=champion.name, next="full run")
        return False
    before = champion.lineage.settings.get("task", {}).get("base_model", task.base_model)
    if before != task.base_model:
        log.info(
            "run.base_model_changed", task=task.name, champion=champion.name, was=before, now=task.base_model, next="full run"
        )
    return bool(before == task.base_model)
