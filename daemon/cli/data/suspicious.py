"""`perennial data suspicious`: labels that are probably wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from config.words import counted, named
from daemon.cli import completing
from daemon.cli.output import AsJson, print_json, say
from daemon.cli.settings import load_settings
from daemon.views.data.opened import opened

_SHOWN_CHARS = 120


def register(app: typer.Typer) -> None:
    """Add this file's command to the group."""
    app.command()(suspicious)


def suspicious(
    task: Annotated[
        str, typer.Argument(metavar="TASK", help="Task whose labels are looked at.", autocompletion=completing.tasks)
    ],
    limit: Annotated[int, typer.Option(help="Show at most this many, the worst first.", min=1)] = 20,
    rows: Annotated[int, typer.Option(help="How many of the newest texts a model judges.", min=1)] = 50_000,
    as_json: AsJson = False,
) -> None:
    """Look for labels that are probably wrong, show the worst, and hand them to the desk's lane `suspicious`."""
    from daemon.operations import doubting  # noqa: PLC0415 - heavy
    from daemon.views.data import suspicious as views  # noqa: PLC0415 - heavy

    settings = load_settings()
    with opened(settings, task) as (spec, buffer):
        doubts = doubting.look(settings, spec, buffer, now=datetime.now(UTC), most=rows)
        found = views.told(buffer, spec, doubts, limit=limit)
    if as_json:
        print_json(found)
        return
    say(
        (f"{found.task}: ", "bold"),
        f"{counted(found.found, 'label')} in doubt of {found.texts:,}; a model judged {found.judged:,}",
    )
    if found.not_judged:
        say((f"not all are judged: {found.not_judged}", "dim"))
    if found.counts:
        say(named([f"{views.WORDS[sort]}: {count:,}" for sort, count in found.counts.items()]))
    for one in found.labels:
        other = f", others say {one.suggested}" if one.suggested else ""
        say(
            (f"\n{one.example_id}", "bold"),
            f"  {one.side}  {one.given}{other}",
            (f"  {one.score:.2f}, {one.why_in_words}", "dim"),
            indent=4,
        )
        say(f"    {one.begins[:_SHOWN_CHARS]}", indent=4)
    if found.found:
        say(f"\nlabel them anew with `perennial review {task} --lane suspicious`, or at the desk: such a label settles the text")
