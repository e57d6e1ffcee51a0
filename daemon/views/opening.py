"""Opens the sources of read models for reading only; never creates them."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from config.addresses import apps_address
from config.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from config.settings import Settings
    from config.tasks import TaskSpec
    from consumers.buffer.reader import BufferReader
    from consumers.dead_letters.store import DeadLetters
    from registry.store import Registry


@contextmanager
def registry(settings: Settings) -> Iterator[Registry]:
    """Open the registry that the settings name. Raises `UserError` where nothing has run yet.

    What an operator does here is about models that exist; an empty registry made by mistake would look like none do.
    """
    from registry.store import Registry  # noqa: PLC0415 - heavy

    if not settings.registry.url and not settings.data_dir.exists():
        message = f"nothing has run in {settings.data_dir} yet; start with `perennial run`"
        raise UserError(message)
    with Registry.open(settings.registry_url, create=False, apps_at=apps_address(settings.serving)) as opened:
        yield opened


@contextmanager
def buffer(settings: Settings, tasks: Mapping[str, TaskSpec] | None = None) -> Iterator[BufferReader]:
    """Open the buffer for reading; `tasks` are those in force where somebody knows them.

    Raises `UserError` where nothing has run yet.
    """
    from config.tasks import load_tasks  # noqa: PLC0415 - heavy
    from consumers.buffer.open import open_reader  # noqa: PLC0415 - heavy

    tasks = load_tasks(settings.tasks_folder) if tasks is None else tasks
    with closing(open_reader(settings.buffer_dir, tasks=tasks, min_quality=settings.enrich.min_quality)) as opened:
        yield opened


@contextmanager
def dead_letters(settings: Settings) -> Iterator[DeadLetters]:
    """Open the file of dead letters. Raises `UserError` where nothing has run yet."""
    from consumers.dead_letters.store import DeadLetters  # noqa: PLC0415 - only this needs it

    if not settings.dead_letter_file.exists():
        message = f"nothing has run in {settings.data_dir} yet, so there are no dead letters"
        raise UserError(message)
    with closing(DeadLetters(settings.dead_letter_file)) as opened:
        yield opened
