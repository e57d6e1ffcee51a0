"""Asking the daemon for a run: a durable event, served by whoever leads."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from config.clock import utc_now
from config.errors import UserError
from config.settings import Settings
from config.task_files.overrides import Overrides
from config.tasks import TaskSpec, load_tasks
from config.words import moment
from consumers.events import schemas as events
from consumers.log.open import publish
from registry.store import Registry


def refuse_unknown(settings: Settings, task: str, tasks: Mapping[str, TaskSpec] | None = None) -> None:
    """Raise `UserError` where a task has no file; `tasks` are those in force where somebody knows them."""
    tasks = load_tasks(settings.tasks_folder) if tasks is None else tasks
    if task not in tasks:
        message = f"task {task!r} is not defined in {settings.tasks_folder}; the tasks are {', '.join(sorted(tasks))}"
        raise UserError(message)


def refuse_paused(registry: Registry, task: str) -> None:
    """Raise `UserError` where a task is paused: a run that is asked for would wait for as long as that lasts."""
    pause = registry.pauses.of(task)
    if pause is not None:
        message = (
            f"task {task!r} is paused since {moment(pause.since)} by {pause.actor} ({pause.reason}); no run was requested. "
            f"`perennial resume {task}` ends the pause"
        )
        raise UserError(message)


def ask_for_run(
    settings: Settings,
    task: str,
    *,
    full: bool,
    promote: bool,
    by: str,
    why: str,
    overrides: Overrides | None = None,
    tasks: Mapping[str, TaskSpec] | None = None,
) -> str:
    """Publish a request for a run and return its event id; `by` says who asks, `overrides` what differs from the task file.

    `tasks` are those in force where somebody knows them. Raises `UserError` for an unknown task, `RetryError` when the log does
    not take it.
    """
    refuse_unknown(settings, task, tasks)
    event_id = f"train-{secrets.token_hex(8)}"
    publish(settings, events.Retrain(
        event_id=event_id, occurred_at=utc_now(), source=by[:200], task=task, full=full, promote=promote, reason=why,
        training=overrides if overrides and overrides.given else None,
    ))  # fmt: skip
    return event_id
