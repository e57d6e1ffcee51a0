"""`perennial data`: what the buffer holds for a task, and how fit it is to learn from."""

from __future__ import annotations

import typer

from daemon.cli.clean import policy, report, suspicious

app = typer.Typer(help="What the buffer holds for a task, and how fit it is to learn from.", no_args_is_help=True)
for command in (report, policy, suspicious):
    command.register(app)
