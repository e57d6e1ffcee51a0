"""Opens what a look at a task's data reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from config.errors import UserError
from daemon.views import opening

if TYPE_CHECKING:
    from config.settings import Settings
    from config.tasks import TaskSpec
    from consumers.buffer.reader import BufferReader


@contextmanager
def opened(settings: Settings, name: str) -> Iterator[tuple[TaskSpec, BufferReader]]:
    """Open the buffer and find a task. Raises `UserError` for a task that there is not, and where nothing has run yet."""
    from config.tasks import load_tasks  # noqa: PLC0415 - heavy

    tasks = load_tasks(settings.tasks_folder)
    if name not in tasks:
        message = f"task {name!r} is not defined in {settings.tasks_folder}; the tasks are {', '.join(sorted(tasks))}"
        raise UserError(message)
    with opening.buffer(settings) as buffer:
        yield tasks[name], buffer
