"""Changing a task's labels: a durable event, if it makes sense after all changes before."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from dataclasses import dataclass

from config.clock import utc_now
from config.errors import UserError
from config.kinds import catalog as kinds
from config.kinds.kind import Measures
from config.settings import Settings
from config.task_files.labels.label_changes import Change
from config.task_files.labels.label_problems import problem
from config.tasks import TaskSpec, load_tasks
from consumers.events.schemas import TaskSchema
from consumers.log.open import publish
from daemon.views import opening
from daemon.views.task import labels as views


@dataclass(frozen=True, slots=True)
class Asked:
    """A change that was asked for."""

    task: str
    change_id: str
    does: tuple[str, ...]
    """In words."""


def task_of(settings: Settings, name: str) -> TaskSpec:
    """Return a task by name. Raises `UserError` where there is none."""
    tasks = load_tasks(settings.tasks_folder)
    if name not in tasks:
        message = f"task {name!r} is not defined in {settings.tasks_folder}; the tasks are {', '.join(sorted(tasks))}"
        raise UserError(message)
    return tasks[name]


def look(settings: Settings, name: str) -> views.Labels:
    """Return the labels of a task with their history. Raises `UserError` where there is no such task."""
    task = task_of(settings, name)
    with ExitStack() as stack:
        buffer = stack.enter_context(opening.buffer(settings)) if settings.buffer_dir.exists() else None
        return views.labels(task, buffer)


def change(settings: Settings, name: str, asked: Change, *, by: str) -> Asked:
    """Publish a change of a task's labels; the daemon goes by it from the next look on.

    Raises `UserError`, and publishes nothing, where it makes no sense; `RetryError` when the log does not take it.
    """
    task = task_of(settings, name)
    if isinstance(kinds.get(task.kind), Measures):
        what = kinds.get(task.kind).words.about
        message = f"task {name} has {what} and no labels; change `{task.kind}`'s own keys in its file, which old rows then follow"
        raise UserError(message)
    with ExitStack() as stack:
        buffer = stack.enter_context(opening.buffer(settings)) if settings.buffer_dir.exists() else None
        seen = views.labels(task, buffer)
        history = buffer.label_changes(name) if buffer else []
    why_not = problem(asked, history, seen.known) or _closed(task, asked)
    if why_not is not None:
        message = f"{why_not}. Nothing was changed; `perennial labels {name}` shows the labels of task {name}"
        raise UserError(message)
    event = TaskSchema(
        event_id=f"labels-{secrets.token_hex(6)}", occurred_at=utc_now(), source=by[:200], task=name,
        renames=dict(asked.renames) or None, splits=dict(asked.splits) or None, retired=asked.retired or None,
        added=asked.added or None, undoes=asked.undoes, reason=asked.reason or None,
    )  # fmt: skip
    publish(settings, event)
    return Asked(name, event.event_id, tuple(asked.does))


def _closed(task: TaskSpec, asked: Change) -> str | None:
    """Return why a closed task cannot take a change; None where it can."""
    if task.labels != "closed":
        return None
    new = [*asked.renames.values(), *(label for labels in asked.splits.values() for label in labels), *asked.added]
    unknown = next((label for label in new if label not in task.label_names), None)
    return (
        None
        if unknown is None
        else f"task {task.name} is closed, and label_names of its file lacks {unknown!r}; add it there first"
    )
