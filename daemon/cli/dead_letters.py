"""`perennial dlq`: list, show, replay or drop events that could not be used."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer

from config.errors import UserError
from config.settings import load_settings
from config.words import counted
from daemon.cli.output import AsJson, console, print_json, say, table
from daemon.views import opening

app = typer.Typer(help="Events that could not be used: list, show, replay, drop.", no_args_is_help=True)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(help="At most this many, newest first.", min=1)] = 50,
    everything: Annotated[bool, typer.Option("--all", help="Include those already replayed.")] = False,
    as_json: AsJson = False,
) -> None:
    """List dead letters with their reasons."""
    from daemon.views import dead_letters as views  # noqa: PLC0415 - only this and `show` need it

    with opening.dead_letters(load_settings()) as letters:
        found = views.listed(letters, limit, include_replayed=everything)
    if as_json:
        print_json(found)
        return
    rows = [
        (letter.id, f"{letter.topic.removeprefix('perennial.')}/{letter.partition}@{letter.offset}", letter.reason,
         "" if letter.replayable else "no", letter.dead_at)
        for letter in found
    ]  # fmt: skip
    table("Dead letters", ("id", "position", "reason", "replayable", "since (UTC)"), rows)


@app.command()
def show(
    identifier: Annotated[int, typer.Argument(metavar="ID", help="As `dlq list` shows it.")], as_json: AsJson = False
) -> None:
    """Show one dead letter with its content."""
    from daemon.views import dead_letters as views  # noqa: PLC0415 - only this and `list` need it

    with opening.dead_letters(load_settings()) as letters:
        letter = views.of_id(letters, identifier)
    if as_json:
        print_json(letter)
        return
    for name, value in letter:
        say((f"{name:>13}", "dim"), f"  {_shown(value)}", indent=15)


@app.command()
def replay(
    identifiers: Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="Ids, as `dlq list` shows them.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that can be replayed and have not been.")] = False,
) -> None:
    """Publish dead letters again, for example after a task file was fixed."""
    from consumers.log.open import open_event_log  # noqa: PLC0415 - heavy

    if not everything and not identifiers:
        message = "name the dead letters to replay, or give --all"
        raise UserError(message)
    settings = load_settings()
    with (
        opening.dead_letters(settings) as letters,
        closing(open_event_log(settings)) as event_log,
        closing(event_log.sink()) as sink,
    ):
        count = letters.replay(letters.replayable() if everything else identifiers or [], sink)
    console.print(f"{counted(count, 'dead letter')} replayed; any that still fail become dead letters again")


@app.command("set-aside")
def set_aside(
    limit: Annotated[int, typer.Option(help="At most this many, oldest first.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List stored texts and answers that could not be processed. Reloading the task files (SIGHUP) tries them again."""
    from daemon.views import dead_letters as views  # noqa: PLC0415 - only this and `list` need it

    with opening.buffer(load_settings()) as buffer:
        found = views.set_aside(buffer, limit)
    if as_json:
        print_json(found)
        return
    rows = [(one.row_id, one.table, one.task or "", one.reason, one.stored_at) for one in found]
    table("Set aside", ("id", "kept in", "task", "reason", "since (UTC)"), rows)


@app.command()
def drop(
    identifiers: Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="Ids, as `dlq list` shows them.")] = None,
    before: Annotated[
        datetime | None, typer.Option(metavar="DATE", help="All from before this time (UTC), replayed ones too.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Remove dead letters permanently; they cannot be replayed afterwards."""
    if bool(identifiers) == (before is not None):
        message = "name the dead letters to drop, or give --before DATE; not both"
        raise UserError(message)
    with opening.dead_letters(load_settings()) as letters:
        # An unknown id is reported before anything is asked.
        chosen = {letters.get(identifier).id for identifier in identifiers or []}
        if before is not None:
            chosen = set(letters.died_before(before.replace(tzinfo=UTC)))
        if chosen and not yes:
            named = counted(len(chosen), "dead letter")
            typer.confirm(f"Remove {named} permanently, without a chance to replay?", abort=True)
        dropped = counted(letters.drop(sorted(chosen)), "dead letter")
        console.print(f"{dropped} dropped; {letters.count(include_replayed=True)} remain")


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(f"{name}: {content}" for name, content in value)
    return "" if value is None else str(value)
