"""`perennial dlq`: look at events that could not be used, play them again, or drop them."""

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
    limit: Annotated[int, typer.Option(help="Newest so many.", min=1)] = 50,
    everything: Annotated[bool, typer.Option("--all", help="Also those already replayed.")] = False,
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
    identifier: Annotated[int, typer.Argument(metavar="ID", help="As `dlq list` prints it.")], as_json: AsJson = False
) -> None:
    """Show one dead letter with its bytes."""
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
    identifiers: Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="Which ones.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that can be replayed and were not.")] = False,
) -> None:
    """Publish dead letters again, for example after a task file was mended."""
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
    console.print(f"{count} replayed; those that still fail come back as dead letters")


@app.command("set-aside")
def set_aside(
    limit: Annotated[int, typer.Option(help="Oldest so many.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List stored texts and answers that Perennial itself failed on; reloading the task files (SIGHUP) tries them again."""
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
    identifiers: Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="Which ones.")] = None,
    before: Annotated[datetime | None, typer.Option(help="All kept before this time (UTC), replayed ones too.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove dead letters for good, with their bytes; they cannot be replayed after that."""
    if bool(identifiers) == (before is not None):
        message = "name the dead letters to drop, or give --before DATE; not both"
        raise UserError(message)
    with opening.dead_letters(load_settings()) as letters:
        # An unknown id is told before anything is asked.
        chosen = {letters.get(identifier).id for identifier in identifiers or []}
        if before is not None:
            chosen = set(letters.died_before(before.replace(tzinfo=UTC)))
        if chosen and not yes:
            named = counted(len(chosen), "dead letter")
            typer.confirm(f"Remove {named} for good? They cannot be replayed after that", abort=True)
        console.print(f"{letters.drop(sorted(chosen))} dropped; {letters.count(include_replayed=True)} are kept")


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(f"{name}: {content}" for name, content in value)
    return "" if value is None else str(value)
