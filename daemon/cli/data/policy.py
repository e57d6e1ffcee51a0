"""`perennial data policy`: what the rules of a task file leave out of training."""

from __future__ import annotations

from typing import Annotated

import typer

from config.words import counted
from daemon.cli import completing
from daemon.cli.output import AsJson, print_json, say
from daemon.cli.settings import load_settings
from daemon.views.data.opened import opened

_SHOWN_CHARS = 100


def register(app: typer.Typer) -> None:
    """Add this file's command to the group."""
    app.command()(policy)


def policy(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Task whose rules are looked at.", autocompletion=completing.tasks)],
    as_json: AsJson = False,
) -> None:
    """Show what each rule of a task file's section `quality` leaves out of training, with examples."""
    from daemon.views.data import policy as views  # noqa: PLC0415 - heavy

    with opened(load_settings(), task) as (spec, buffer):
        found = views.read(buffer, spec)
    if as_json:
        print_json(found)
        return
    say((f"{found.task}: ", "bold"), f"{found.kept:,} of {counted(found.rows, 'row')} of the train side are fit to learn from")
    if found.warning:
        say((found.warning, "bold yellow"))
    for rule in found.rules:
        say((f"\n{rule.told}", "bold"), f"  leaves out {rule.rows:,}, of which {rule.alone:,} break no other rule", indent=4)
        for one in rule.examples:
            about = ", ".join([*one.reasons, *([f"{one.words} words"] if one.words is not None else []), one.language or ""])
            say(f"  {one.example_id}  {one.begins[:_SHOWN_CHARS]}", (f"  {about.rstrip(', ')}", "dim"), indent=4)
    if found.found:
        say(("\nfound in rows: ", "bold"), ", ".join(f"{name} {rows:,}" for name, rows in found.found.items()), indent=4)
    if found.languages:
        say(("languages: ", "bold"), ", ".join(f"{name} {rows:,}" for name, rows in found.languages.items()), indent=4)
