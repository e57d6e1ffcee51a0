"""`perennial pause`, `perennial resume`: a task that starts no run and promotes nothing by itself for a while."""

from __future__ import annotations

from typing import Annotated

import typer

from daemon.cli import completing
from daemon.cli.actor import ACTOR
from daemon.cli.output import say
from daemon.cli.settings import load_settings
from daemon.views import opening

TaskName = Annotated[str, typer.Argument(metavar="TASK", help="Task name.", autocompletion=completing.tasks)]


def register(app: typer.Typer) -> None:
    """Add this file's commands to the application."""
    app.command()(pause)
    app.command()(resume)


def pause(task: TaskName, why: Annotated[str, typer.Option("--why", help="Reason, kept in the history.")]) -> None:
    """Pause a task: it starts no run and promotes nothing by itself until `perennial resume`. Ingest and serving go on."""
    from daemon.training.due import asking  # noqa: PLC0415 - heavy

    settings = load_settings()
    asking.refuse_unknown(settings, task)
    with opening.registry(settings) as registry:
        registry.pauses.pause(task, actor=ACTOR, reason=why)
    say(f"{task} is paused until `perennial resume {task}`; a run under way is finished, and its verdict waits")


def resume(
    task: TaskName, why: Annotated[str, typer.Option("--why", help="Reason, kept in the history.")] = "resumed by hand"
) -> None:
    """End the pause of a task: what is due starts within seconds, and a verdict that waits is reached."""
    with opening.registry(load_settings()) as registry:
        held = registry.pauses.resume(task, actor=ACTOR, reason=why)
    say(f"{task} goes on; it was paused since {held.since:%Y-%m-%d %H:%M} UTC ({held.reason})")
