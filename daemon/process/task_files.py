"""Reading the task files, at the start and on a reload: either all of them are used, or none of the changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog

from config.errors import UserError
from config.tasks import TaskSpec, changes, load_tasks

log = structlog.get_logger(__name__)


def loaded(folder: Path) -> Mapping[str, TaskSpec]:
    """Read the task files. Raises `UserError` naming the file, also where a task's metric cannot be read as its policy asks."""
    from trainers.compare import improvement, readiness  # noqa: PLC0415 - it brings numpy, and whoever reads no task file does without
    from trainers.compare.guarding import margins  # noqa: PLC0415 - likewise

    tasks = load_tasks(folder)
    for task in tasks.values():
        try:
            improvement.check(task.promotion)
            readiness.check(task.promotion)
            margins.check(task.promotion)
        except UserError as error:
            message = f"{folder}: task {task.name!r}: {error}"
            raise UserError(message) from None
    return tasks


def reloaded(folder: Path, in_force: Mapping[str, TaskSpec]) -> Mapping[str, TaskSpec] | None:
    """Return the tasks as the files say now, or None, and say why, when one of them is wrong."""
    try:
        tasks = loaded(folder)
    except UserError as error:
        log.error(  # noqa: TRY400 - the message names file and key
            "tasks.not_reloaded",
            reason=str(error),
            next="the earlier task files stay in use; fix the file and send SIGHUP again",
        )
        return None
    log.info("tasks.reloaded", **changes(in_force, tasks))
    return tasks
