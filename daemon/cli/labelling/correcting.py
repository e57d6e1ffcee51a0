"""`perennial correct`: a label that was wrong says something else from now on."""

from __future__ import annotations

import getpass
import json
from typing import Annotated, Any

import typer

from config.errors import UserError
from daemon.cli.output import say
from daemon.cli.settings import load_settings
from daemon.views import opening


def register(app: typer.Typer) -> None:
    """Add this file's command to the application."""
    app.command()(correct)


def correct(
    label_id: Annotated[str, typer.Argument(metavar="LABEL_ID", help="The event id that the label came under.")],
    why: Annotated[str, typer.Option("--why", help="Reason, kept in the history.")],
    label: Annotated[str, typer.Option(help="What is right, where a text has one label.")] = "",
    target: Annotated[str, typer.Option(metavar="JSON", help="What is right, as label events say it.")] = "",
    annotator: Annotated[str, typer.Option(help="Your name, as the correction keeps it; left out, your user name.")] = "",
) -> None:
    """Correct a label that was wrong. Verdicts that it took part in are marked; none is taken back."""
    from config.tasks import load_tasks  # noqa: PLC0415 - heavy
    from daemon.labelling import correcting  # noqa: PLC0415 - heavy
    from daemon.labelling.answering import annotator_of  # noqa: PLC0415 - heavy
    from registry.people.audit import By  # noqa: PLC0415 - heavy

    said, who = _said(label, target), annotator_of(annotator or _user())
    settings = load_settings()
    tasks = load_tasks(settings.tasks_folder)
    with opening.registry(settings) as registry, opening.buffer(settings) as buffer:
        at = correcting.At(settings, tasks, registry, buffer)
        led = correcting.correct(at, label_id, said, annotator=who, by=By("perennial correct", why))
    when = "within seconds" if led else "once a daemon runs (`perennial run`)"
    say(f"corrected; it is in force {when}. `perennial lineage row {label_id}` shows what it took part in")


def _said(label: str, target: str) -> dict[str, Any]:
    if bool(label) == bool(target):
        message = "give --label NAME or --target JSON, one of them"
        raise UserError(message)
    if label:
        return {"label": label}
    try:
        said = json.loads(target)
    except ValueError as error:
        message = f'--target is not JSON ({error}); write it as {{"label": "sport"}}'
        raise UserError(message) from None
    if not isinstance(said, dict):
        message = '--target is no JSON object; write it as {"label": "sport"}'
        raise UserError(message)
    return said


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "nobody"
