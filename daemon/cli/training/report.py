"""`perennial report`: the report of a run, as HTML, Markdown or DOCX."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from config.errors import UserError
from daemon.cli import completing
from daemon.cli.output import say
from daemon.cli.settings import load_settings
from daemon.views import opening

_STANDARD_OUTPUT = "-"


def register(app: typer.Typer) -> None:
    """Add this file's command to the application."""
    app.command()(report)


def report(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RUN_OR_VERSION", help="A run, or a version such as news-topics/v3.", autocompletion=completing.repeatable
        ),
    ],
    form: Annotated[Literal["html", "md", "docx"], typer.Option("--format", help="docx needs the extra `docx`.")] = "html",
    output: Annotated[
        str | None, typer.Option(metavar="FILE", help="Where to; - is standard output. By default NAME-report.FORMAT here.")
    ] = None,
) -> None:
    """Write the report of a run: verdict, limits, comparison, rows that differ, curves, cost, lineage."""
    from config.files.durable import write_atomic  # noqa: PLC0415 - only this needs it
    from daemon.views.models import reports  # noqa: PLC0415 - heavy

    settings = load_settings()
    with opening.registry(settings) as registry:
        written = reports.rendered(settings, registry, name, form)
    if output == _STANDARD_OUTPUT:
        sys.stdout.buffer.write(written)
        return
    path = Path(output or f"{name.replace('/', '-')}-report.{form}")
    try:
        write_atomic(path, written)
    except OSError as error:
        message = f"the report could not be written to {path} ({error.strerror}); name another file with --output"
        raise UserError(message) from None
    say(f"the report of {name} is in {path}")
