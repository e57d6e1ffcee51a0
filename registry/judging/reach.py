"""Promotion policies that no candidate can meet: said when a task file is loaded, not months later by a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import structlog

from config.errors import PerennialError
from config.task_files.sections.promotion import Promotion
from config.tasks import TaskSpec
from registry.judging.gate import remedy
from trainers.compare.comparison import Comparison
from trainers.compare.improvement import required_gain
from trainers.compare.metrics import catalog
from trainers.compare.metrics.scale import Scale

if TYPE_CHECKING:
    from registry.store import Registry

log = structlog.get_logger(__name__)


def never(task: TaskSpec) -> str | None:
    """Return why no candidate can ever meet a task's policy, whatever the champion's score; None where one can."""
    policy, scale = task.promotion, catalog.of(task).scale
    key, least = "promotion.min_improvement", policy.min_improvement
    if policy.improvement == "absolute" and least >= scale.highest - scale.lowest:
        most = f"{scale.title} lies between {scale.lowest:g} and {scale.highest:g}"
        return f"{key} is {least:g} (absolute), and no gain can exceed that: {most}. Write a share of that range, such as 0.05."
    share_of_errors = policy.improvement == "error_reduction" or (policy.improvement == "relative" and scale.lower_is_better)
    if share_of_errors and least >= 1.0:
        return f"{key} is {least:g}: more than all errors would have to go. Write a share below 1, such as 0.05."
    return None


def out_of_reach(task: TaskSpec, registry: Registry) -> str | None:
    """Return why no candidate can be promoted beside the present champion; None where one can, or nobody knows.

    By the champion's score when it was compared last: it is scored anew in each run.
    """
    if (why := never(task)) is not None:
        return why
    champion = registry.versions.champion(task.name)
    if champion is None or (score := _last_score(registry, task, champion.version)) is None:
        return None
    scale = catalog.of(task).scale
    if required_gain(task.promotion, score, scale) < float("inf"):
        return None
    return (
        f"{champion.version} scored {scale.format_score(score)} when it was compared last, so that no candidate can be better by "
        f"{_asked(task.promotion, scale)} and none is promoted. {remedy(scale, task.promotion.improvement)}"
    )


def warn(tasks: Mapping[str, TaskSpec], registry: Registry) -> None:
    """Log a warning of each task beside whose champion no candidate can be promoted."""
    for task in tasks.values():
        try:
            why = out_of_reach(task, registry)
        except PerennialError as error:
            log.debug("task.reach_unknown", task=task.name, reason=str(error))
            continue
        if why is not None:
            log.warning(
                "task.out_of_reach", task=task.name, reason=why, next="it is trained and compared, and nothing is promoted"
            )


def _last_score(registry: Registry, task: TaskSpec, version: str) -> float | None:
    """Return the champion's score by the task's metric in the newest run that has it."""
    for run in registry.runs.list(task.name, limit=20):
        if run.comparison is None:
            continue
        try:
            seen = Comparison.model_validate(run.comparison)
        except (PerennialError, ValueError):
            continue
        if seen.metric != task.promotion.metric or seen.rows == 0:
            continue
        if seen.champion_version == version:
            return seen.champion_score
        if run.version == version:
            return seen.candidate_score
    return None


def _asked(policy: Promotion, scale: Scale) -> str:
    least = policy.min_improvement
    return f"more than {scale.format_gain(least)}" if policy.improvement == "absolute" else f"more than {least * 100:.3g} %"
