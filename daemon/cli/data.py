"""Commands that move data: import a file as events, ask a model."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from config.errors import UserError
from config.settings import load_settings
from daemon.cli.importing import import_
from daemon.cli.output import AsJson, console, print_json, say


def register(app: typer.Typer) -> None:
    """Add this file's commands to the application."""
    app.command("import")(import_)
    app.command()(predict)


def predict(
    task: Annotated[str, typer.Argument(help="Task to ask.")],
    text: Annotated[list[str] | None, typer.Argument(help="Texts; without them one per line from standard input.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the champion. Uses the serving process when one is up, else loads the model here."""
    from daemon.serving import client  # noqa: PLC0415 - heavy

    texts = text or [line.strip() for line in sys.stdin if line.strip()]
    if not texts:
        message = "no text given; name texts as arguments or send one per line on standard input"
        raise UserError(message)
    answered = client.ask(load_settings(), task, texts)
    if as_json:
        print_json(answered)
        return
    say((f"{answered['version']}, by {answered['by']}", "dim"))
    for asked, prediction in zip(texts, answered["predictions"], strict=True):
        console.print(client.in_words(asked, prediction))
