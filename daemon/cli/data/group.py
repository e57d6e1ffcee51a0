"""`perennial data`: what the buffer holds for a task, how fit it is to learn from, and its labelled rows for others."""

from __future__ import annotations

import typer

from daemon.cli.data import policy, report, rows, suspicious

app = typer.Typer(
    help="What the buffer holds for a task, how fit it is to learn from, and its rows for others.", no_args_is_help=True
)
for command in (report, policy, suspicious, rows):
    command.register(app)
