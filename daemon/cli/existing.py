"""The registry for commands that look at what has run: never made by them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from config.errors import UserError
from config.settings import Settings, load_settings
from config.tasks import load_tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.store import Registry


@contextmanager
def existing_registry() -> Iterator[tuple[Settings, Registry]]:
    """Open the registry that the settings name, and close it again. Raises `UserError` where nothing has run yet."""
    from registry.store import Registry  # noqa: PLC0415 - heavy

    settings = load_settings()
    if not settings.registry.url and not settings.data_dir.exists():
        message = f"nothing has run in {settings.data_dir} yet; start with `perennial run`"
        raise UserError(message)
    # What an operator does here is about models that exist; an empty registry made by mistake would look like none do.
    registry = Registry.open(settings.registry_url, create=False)
    try:
        yield settings, registry
    finally:
        registry.close()


def refuse_unknown(task: str, settings: Settings, registry: Registry) -> None:
    """Raise `UserError` for a task that has neither a task file nor a version (one whose file is gone has its versions)."""
    if registry.versions.list(task):
        return
    tasks = load_tasks(settings.tasks_folder)
    if task not in tasks:
        known = ", ".join(sorted(tasks))
        message = f"task {task!r} is not defined in {settings.tasks_folder} and has no versions; the tasks are {known}"
        raise UserError(message)
