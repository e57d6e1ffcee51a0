"""`perennial dlq`: list, show, replay, mend or drop events that could not be used."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from config.errors import DeadLetterError, UserError
from config.words import counted
from daemon.cli.actor import ACTOR
from daemon.cli.output import AsJson, console, print_json, say, table
from daemon.cli.settings import load_settings
from daemon.views import opening

Identifier = Annotated[int, typer.Argument(metavar="ID", help="As `dlq list` shows it.")]
Why = Annotated[str, typer.Option("--why", help="Reason, kept in the history.")]
app = typer.Typer(help="Events that could not be used: list, show, replay, mend, drop.", no_args_is_help=True)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(help="At most this many, newest first.", min=1)] = 50,
    everything: Annotated[bool, typer.Option("--all", help="Include those already replayed, mended or dropped.")] = False,
    as_json: AsJson = False,
) -> None:
    """List dead letters with their reasons."""
    from daemon.views import dead_letters as views  # noqa: PLC0415 - only this and `show` need it

    with opening.dead_letters(load_settings()) as letters:
        found = views.listed(letters, limit, include_settled=everything)
    if as_json:
        print_json(found)
        return
    rows = [
        (letter.id, f"{letter.topic.removeprefix('perennial.')}/{letter.partition}@{letter.offset}", letter.reason,
         "" if letter.replayable else "no", letter.became, letter.dead_at)
        for letter in found
    ]  # fmt: skip
    table("Dead letters", ("id", "position", "reason", "replayable", "became", "since (UTC)"), rows)


@app.command()
def show(
    identifier: Identifier,
    content: Annotated[bool, typer.Option("--content", help="Print its bytes alone, as they came, to be mended.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter with its content."""
    from daemon.views import dead_letters as views  # noqa: PLC0415 - only this and `list` need it

    with opening.dead_letters(load_settings()) as letters:
        if content:
            sys.stdout.buffer.write(letters.get(identifier).value)
            return
        letter = views.of_id(letters, identifier)
    if as_json:
        print_json(letter)
        return
    for name, value in letter:
        say((f"{name:>13}", "dim"), f"  {_shown(value)}", indent=15)


@app.command()
def replay(
    identifiers: Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="Ids, as `dlq list` shows them.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All that can be replayed and were neither that nor dropped.")
    ] = False,
    why: Why = "replayed by hand",
) -> None:
    """Publish dead letters again, for example after a task file was fixed."""
    from daemon.flow import settling  # noqa: PLC0415 - heavy
    from registry.people.audit import By  # noqa: PLC0415 - heavy

    if not everything and not identifiers:
        message = "name the dead letters to replay, or give --all"
        raise UserError(message)
    settings = load_settings()
    with opening.dead_letters(settings) as letters, opening.registry(settings) as registry:
        chosen = letters.replayable() if everything else identifiers or []
        count = settling.replay(settling.At(settings, letters, registry), chosen, By(ACTOR, why))
    console.print(f"{counted(count, 'dead letter')} replayed; any that still fail become dead letters again")


@app.command()
def mend(
    identifier: Identifier,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The corrected event, JSON; `-` reads standard input.")],
    why: Why = "mended by hand",
) -> None:
    """Publish a corrected event in the place of a dead letter, once it is valid; the letter's own bytes stay recorded."""
    from config.tasks import load_tasks  # noqa: PLC0415 - heavy
    from daemon.flow import settling  # noqa: PLC0415 - heavy
    from registry.people.audit import By  # noqa: PLC0415 - heavy

    settings = load_settings()
    tasks = load_tasks(settings.tasks_folder)
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{file} cannot be read ({error}); nothing was published. Name a file of JSON in UTF-8"
        raise UserError(message) from None
    with opening.dead_letters(settings) as letters, opening.registry(settings) as registry:
        try:
            event = settling.mend(settling.At(settings, letters, registry), tasks, identifier, text, By(ACTOR, why))
        except DeadLetterError as error:
            wrong = "".join(f"\n- {problem}" for _field, problem in error.problems)
            message = f"the event is not valid yet; nothing was published:{wrong}"
            raise UserError(message) from None
    say(f"dead letter {identifier} was mended: the {event.type} {event.event_id} is published in its place")


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
    permanently: Annotated[bool, typer.Option("--permanently", help="Remove their bytes now, for good.")] = False,
    why: Why = "dropped by hand",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Mark dead letters as dropped. Their bytes stay until `ingest.dead_letters_days` are over, unless `--permanently`."""
    from daemon.flow import settling  # noqa: PLC0415 - heavy
    from registry.people.audit import By  # noqa: PLC0415 - heavy

    settings, by = load_settings(), By(ACTOR, why)
    if bool(identifiers) == (before is not None):
        message = "name the dead letters to drop, or give --before DATE; not both"
        raise UserError(message)
    with opening.dead_letters(settings) as letters, opening.registry(settings) as registry:
        # An unknown id is reported before anything is asked.
        chosen = {letters.get(identifier).id for identifier in identifiers or []}
        if before is not None:
            chosen = set(letters.died_before(before.replace(tzinfo=UTC)))
        if chosen and permanently and not yes:
            named = counted(len(chosen), "dead letter")
            typer.confirm(f"Remove {named} permanently, without a chance to replay?", abort=True)
        act = settling.remove if permanently else settling.drop
        done = counted(act(settling.At(settings, letters, registry), sorted(chosen), by), "dead letter")
        if permanently:
            console.print(f"{done} removed; {letters.count(include_settled=True)} remain")
        else:
            console.print(f"{done} dropped; {letters.count()} wait, and {letters.count(include_settled=True)} are kept")


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(f"{name}: {content}" for name, content in value)
    return "" if value is None else str(value)
