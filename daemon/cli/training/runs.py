"""`perennial runs`: what was trained, when, why, and with which outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from config.errors import UserError
from daemon.cli import completing
from daemon.cli.output import AsJson, print_json, say, table
from daemon.cli.settings import load_settings
from daemon.views import opening

if TYPE_CHECKING:
    from daemon.views.models import runs as run_views


def register(app: typer.Typer) -> None:
    """Add this file's command to the application."""
    app.command()(runs)


def runs(
    task: Annotated[str | None, typer.Argument(metavar="[TASK]", help="Only this task.", autocompletion=completing.tasks)] = None,
    limit: Annotated[int, typer.Option(help="At most this many.", min=1)] = 20,
    request: Annotated[
        str | None, typer.Option(metavar="ID", help="Only the run that serves this `retrain` event, alone or with others.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List training runs, newest first: what started each, its outcome, and why."""
    from daemon.views.models import runs as views  # noqa: PLC0415 - heavy

    settings = load_settings()
    with opening.registry(settings) as registry:
        found = views.listed(registry, task, limit) if request is None else views.that_serve(registry, request, task)
        if task is not None and not found:
            from daemon.views import tasks  # noqa: PLC0415 - heavy

            tasks.refuse_unknown(task, settings, registry)
    if request is not None and not found:
        message = f"no run serves request {request!r} yet; `perennial status` says what its task waits for"
        raise UserError(message)
    if as_json:
        print_json(found)
        return
    if not found:
        table("Runs", (), (), empty="none yet")
    for run in found:
        _print(run)


def _print(run: run_views.Run) -> None:
    outcome = run.word if run.retry_at is None else f"waits until {run.retry_at:%H:%M} UTC"
    level = f" ({run.readiness})" if run.readiness is not None and run.verdict is not None else ""
    took = "" if run.seconds is None else f", {run.seconds:.0f} s"
    say(
        f"{run.started_at or run.created_at:%Y-%m-%d %H:%M} UTC  ", (outcome, "bold"), f"{level}  {run.version or run.task}{took}"
    )
    for line in (f"run {run.run_id}", f"because {run.reason}", run.error or "; ".join(run.reasons[:1])):
        if line:
            say(f"    {line}", indent=4)
