"""`perennial runs`: what was trained, when, why, and what came of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from config.words import printable
from daemon.cli.existing import existing_registry, refuse_unknown
from daemon.cli.output import AsJson, console, print_json

if TYPE_CHECKING:
    from registry.runs import Run


def register(app: typer.Typer) -> None:
    """Add this file's command to the application."""
    app.command()(runs)


def runs(
    task: Annotated[str | None, typer.Argument(help="Only this task.")] = None,
    limit: Annotated[int, typer.Option(help="Newest so many.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """List training runs, newest first, failed ones too: why each began, its verdict and the reason."""
    with existing_registry() as (settings, registry):
        found = registry.runs.list(task, limit)
        if task is not None and not found:
            refuse_unknown(task, settings, registry)
    if as_json:
        print_json([asdict(run) for run in found])
        return
    if not found:
        console.print("[bold]Runs[/]: none yet")
    for run in found:
        outcome = run.verdict or (run.state if run.retry_at is None else f"waits until {run.retry_at:%H:%M} UTC")
        console.print(
            f"{run.started_at or run.created_at:%Y-%m-%d %H:%M} UTC  [bold]{outcome}[/]  {run.version or run.task}{_took(run)}"
        )
        for line in (f"run {run.run_id}", f"because {run.reason}", run.error or "; ".join(run.reasons[:1])):
            if line:
                console.print(Padding(Text(printable(line)), (0, 0, 0, 4), expand=False))


def _took(run: Run) -> str:
    if run.started_at is None or run.finished_at is None:
        return ""
    return f", {(run.finished_at - run.started_at).total_seconds():.0f} s"
