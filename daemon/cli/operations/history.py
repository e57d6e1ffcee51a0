"""`perennial history`: who changed what, when and why."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli import completing
from daemon.cli.output import AsJson, print_json, table
from daemon.cli.settings import load_settings
from daemon.views import opening

if TYPE_CHECKING:
    from daemon.views.history import Entry


def register(app: typer.Typer) -> None:
    """Add this file's command to the application."""
    app.command()(history)


def history(
    task: Annotated[str | None, typer.Argument(metavar="[TASK]", help="Only this task.", autocompletion=completing.tasks)] = None,
    limit: Annotated[int, typer.Option(help="At most this many.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List what people and the gate did, newest first, by whom and why: from promotions to API keys and erasures."""
    from daemon.views import history as views  # noqa: PLC0415 - heavy

    settings = load_settings()
    with ExitStack() as stack:
        registry = stack.enter_context(opening.registry(settings))
        if task is not None:
            from daemon.views import tasks  # noqa: PLC0415 - heavy

            tasks.refuse_unknown(task, settings, registry)
        buffer = stack.enter_context(opening.buffer(settings)) if settings.buffer_dir.exists() else None
        found = views.entries(registry, buffer, task, limit)
    if as_json:
        print_json(found)
        return
    rows = [(one.at, one.what, _about(one), one.before, one.by, one.why) for one in found]
    table("History", ("at (UTC)", "what", "version, task or subject", "before", "by", "why"), rows, empty="nothing was done yet")


def _about(one: Entry) -> str | None:
    since = f" ({one.corrected} of its labels corrected since)" if one.corrected else ""
    return f"{one.version}{since}" if one.version else one.subject or one.task
