"""`perennial runs`: what was trained, when, why, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from config.settings import load_settings
from daemon.cli.output import AsJson, print_json, say, table
from daemon.views import opening, tasks

if TYPE_CHECKING:
    from daemon.views.runs import Run


def register(app: typer.Typer) -> None:
    """Add this file's command to the application."""
    app.command()(runs)


def runs(
    task: Annotated[str | None, typer.Argument(help="Only this task.")] = None,
    limit: Annotated[int, typer.Option(help="Newest so many.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """List training runs, newest first, failed ones too: why each began, its verdict and the reason."""
    from daemon.views import runs as views  # noqa: PLC0415 - heavy

    settings = load_settings()
    with opening.registry(settings) as registry:
        found = views.listed(registry, task, limit)
        if task is not None and not found:
            tasks.refuse_unknown(task, settings, registry)
    if as_json:
        print_json(found)
        return
    if not found:
        table("Runs", (), (), empty="none yet")
    for run in found:
        _print(run)


def _print(run: Run) -> None:
    outcome = run.word if run.retry_at is None else f"waits until {run.retry_at:%H:%M} UTC"
    took = "" if run.seconds is None else f", {run.seconds:.0f} s"
    say(f"{run.started_at or run.created_at:%Y-%m-%d %H:%M} UTC  ", (outcome, "bold"), f"  {run.version or run.task}{took}")
    for line in (f"run {run.run_id}", f"because {run.reason}", run.error or "; ".join(run.reasons[:1])):
        if line:
            say(f"    {line}", indent=4)
