"""`perennial explain`: why a task did or did not train and promote, and when it is expected to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from config.errors import UserError
from daemon.cli import completing
from daemon.cli.output import AsJson, print_json, say
from daemon.cli.settings import load_settings

if TYPE_CHECKING:
    from daemon.views.task.explanation import Estimate, Explanation


def register(app: typer.Typer) -> None:
    """Add this file's command to the application."""
    app.command()(explain)


def explain(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Task name.", autocompletion=completing.tasks)],
    as_json: AsJson = False,
) -> None:
    """Say why a task did or did not train and promote, and when it is expected to."""
    from daemon.views.installation.status import StatusReader  # noqa: PLC0415 - heavy
    from daemon.views.task import explaining  # noqa: PLC0415 - heavy

    settings = load_settings()
    reader = StatusReader(settings)
    try:
        if task not in reader.tasks:
            message = f"task {task!r} is not defined in {settings.tasks_folder}; the tasks are {', '.join(sorted(reader.tasks))}"
            raise UserError(message)
        found = explaining.of(reader, reader.read(), task, settings)
    finally:
        reader.close()
    if as_json:
        print_json(found)
    else:
        _show(found)


def _show(found: Explanation) -> None:
    since = f" since {found.champion_since:%Y-%m-%d %H:%M} UTC" if found.champion_since else ""
    say((found.task, "bold"), f": {found.champion} answers{since}" if found.champion else ": no champion yet")
    for hold in found.holds:
        say(("held: ", "bold yellow"), hold, indent=2)
    if found.held_out is not None:
        say(("tests: ", "bold"), f"it {found.held_out.sentence}.", indent=2)
    say(("trains: ", "bold"), found.retraining.sentence, indent=2)
    _expect("next run", found.retraining.expected)
    if found.promoting is None:
        say(("promotes: ", "bold"), "no run has been decided yet")
        return
    say(("promotes: ", "bold"), found.promoting.measured, " ", found.promoting.decides, indent=2)
    for reason in found.promoting.reasons:
        say(f"- {reason}", indent=2)
    _expect("enough test rows", found.promoting.expected)
    say((f"evidence: perennial verify {found.promoting.version or found.promoting.run_id}", "faint"))


def _expect(what: str, expected: Estimate) -> None:
    when = f"about {expected.at:%a %Y-%m-%d %H:%M} UTC, " if expected.at else "no date: "
    say((f"{what}: ", "bold"), when, expected.assumption, indent=2)
