"""`perennial train`: a run now, with its progress. `perennial runs`: what was trained, when, why, and with which outcome."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Self

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from config.errors import UserError
from config.settings import load_settings
from config.words import counted, printable
from daemon.cli.output import AsJson, console, print_json, say, table
from daemon.views import opening, tasks
from daemon.views.view import as_json as plain

if TYPE_CHECKING:
    from daemon.operations.training_now import Ahead
    from daemon.views import runs as run_views


def register(app: typer.Typer) -> None:
    """Add this file's commands to the application."""
    app.command()(train)
    app.command()(runs)


def train(
    task: Annotated[str, typer.Argument(help="Task to train.")],
    promote: Annotated[bool, typer.Option("--promote/--no-promote", help="Promote the new version if it is better.")] = True,
    full: Annotated[bool, typer.Option("--full", help="Start from the base model and use all rows, not only new ones.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a task now and show the progress. Uses the running daemon, or this process if there is none."""
    settings = load_settings()
    from daemon.operations import training_now  # noqa: PLC0415 - heavy

    with _Shown(task, quiet=as_json) as watch:
        run = training_now.train(settings, task, promote=promote, full=full, watch=watch)
    if as_json:
        print_json(run)
    else:
        say((run.word, "bold"), f" {run.version or ''}")
        for reason in run.why:
            say(f"  {reason}", indent=2)
    raise typer.Exit(1 if run.state == "failed" else 0)


def runs(
    task: Annotated[str | None, typer.Argument(help="Only this task.")] = None,
    limit: Annotated[int, typer.Option(help="At most this many.", min=1)] = 20,
    request: Annotated[
        str | None, typer.Option(metavar="ID", help="Only the run that serves this `retrain` event, alone or with others.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List training runs, newest first: what started each, its outcome, and why."""
    from daemon.views import runs as views  # noqa: PLC0415 - heavy

    settings = load_settings()
    with opening.registry(settings) as registry:
        found = views.listed(registry, task, limit) if request is None else views.that_serve(registry, request, task)
        if task is not None and not found:
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
    took = "" if run.seconds is None else f", {run.seconds:.0f} s"
    say(f"{run.started_at or run.created_at:%Y-%m-%d %H:%M} UTC  ", (outcome, "bold"), f"  {run.version or run.task}{took}")
    for line in (f"run {run.run_id}", f"because {run.reason}", run.error or "; ".join(run.reasons[:1])):
        if line:
            say(f"    {line}", indent=4)


class _Shown:
    """A bar on a terminal; elsewhere each new line of progress, as JSON on standard error."""

    def __init__(self, task: str, *, quiet: bool) -> None:
        self._task = task
        self._on_screen = console.is_terminal
        self._told = ""
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[steps]}"), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, disable=quiet or not self._on_screen, transient=True)
        self._line = self._bar.add_task(f"{task}: waiting for the run to start", total=None, steps="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.stop()

    def waits(self, ahead: Ahead) -> None:
        """Show what the request waits for."""
        told = f"{self._task}: waiting{_until(ahead)}"
        self._bar.update(self._line, description=told)
        if _until(ahead):
            self._tell(told)

    def goes_on(self, run: run_views.Run, progress: run_views.Progress | None) -> None:
        """Show the progress of the run."""
        if progress is not None and progress.phase == "training":
            steps = f"{progress.step} of {progress.steps}" if progress.steps else ""
            self._bar.update(
                self._line,
                description=f"{run.task}: training",
                completed=progress.step,
                total=progress.steps or None,
                steps=steps,
            )
        else:
            stage = printable(progress.phase) if progress is not None else run.state
            self._bar.update(self._line, description=f"{run.task}: {stage}", steps="")
        if progress is not None:
            self._tell(json.dumps(plain(progress)))

    def _tell(self, line: str) -> None:
        if not self._on_screen and line != self._told:
            self._told = line
            sys.stderr.write(line + "\n")
            sys.stderr.flush()


def _until(ahead: Ahead) -> str:
    if ahead.unread:
        return f" until the daemon has read {counted(ahead.unread, 'more event')}"
    if ahead.unenriched:
        return f" until {counted(ahead.unenriched, 'more text')} {'is' if ahead.unenriched == 1 else 'are'} enriched"
    return ""
