"""`perennial dlq`: look at events that could not be used, play them again, or drop them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from config.errors import UserError
from config.settings import load_settings
from config.tasks import load_tasks
from config.words import counted
from consumers.dead_letters.store import DeadLetter, DeadLetters
from consumers.log.open import open_event_log
from daemon.cli.output import AsJson, console, print_json, say, table

app = typer.Typer(help="Events that could not be used: list, show, replay, drop.", no_args_is_help=True)

_EXCERPT_CHARS = 2_000


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(help="Newest so many.", min=1)] = 50,
    everything: Annotated[bool, typer.Option("--all", help="Also those already replayed.")] = False,
    as_json: AsJson = False,
) -> None:
    """List dead letters with their reasons."""
    letters = _open().list(limit=limit, include_replayed=everything)
    if as_json:
        print_json([_plain(letter) for letter in letters])
        return
    rows = [
        (letter.id, f"{letter.topic.removeprefix('perennial.')}/{letter.partition}@{letter.offset}", letter.reason,
         "" if letter.replayable else "no", letter.dead_at)
        for letter in letters
    ]  # fmt: skip
    table("Dead letters", ("id", "position", "reason", "replayable", "since (UTC)"), rows)


@app.command()
def show(
    identifier: Annotated[int, typer.Argument(metavar="ID", help="As `dlq list` prints it.")], as_json: AsJson = False
) -> None:
    """Show one dead letter with its bytes."""
    letter = _open().get(identifier)
    if as_json:
        print_json(_plain(letter))
        return
    for name, value in _plain(letter).items():
        console.print(f"[dim]{name:>13}[/]  ", end="")
        say(str(value))


@app.command()
def replay(
    identifiers: Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="Which ones.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that can be replayed and were not.")] = False,
) -> None:
    """Publish dead letters again, for example after a task file was mended."""
    letters = _open()
    if everything:
        identifiers = [letter.id for letter in letters.list(limit=1_000_000) if letter.replayable]
    elif not identifiers:
        message = "name the dead letters to replay, or give --all"
        raise UserError(message)
    with closing(open_event_log(load_settings())) as event_log, closing(event_log.sink()) as sink:
        count = letters.replay(identifiers or [], sink)
    console.print(f"{count} replayed; those that still fail come back as dead letters")


@app.command("set-aside")
def set_aside(
    limit: Annotated[int, typer.Option(help="Oldest so many.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List stored texts and answers that Perennial itself failed on; reloading the task files (SIGHUP) tries them again."""
    settings = load_settings()
    from consumers.buffer.open import open_reader  # noqa: PLC0415 - heavy, and only this needs it

    with closing(open_reader(settings.buffer_dir, tasks=load_tasks(settings.tasks_folder))) as buffer:
        found = buffer.put_aside(limit)
    if as_json:
        print_json([asdict(one) for one in found])
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
    letters = _open()
    # An unknown id is told before anything is asked.
    chosen = {letters.get(identifier).id for identifier in identifiers or []}
    if before is not None:
        chosen = set(letters.died_before(before.replace(tzinfo=UTC)))
    if chosen and not yes:
        named = counted(len(chosen), "dead letter")
        typer.confirm(f"Remove {named} for good? They cannot be replayed after that", abort=True)
    console.print(f"{letters.drop(sorted(chosen))} dropped; {letters.count(include_replayed=True)} are kept")


def _open() -> DeadLetters:
    settings = load_settings()
    if not settings.dead_letter_file.exists():
        message = f"nothing has run in {settings.data_dir} yet, so there are no dead letters"
        raise UserError(message)
    return DeadLetters(settings.dead_letter_file)


def _plain(letter: DeadLetter) -> dict[str, Any]:
    values = asdict(letter)
    values["value"] = letter.value[:_EXCERPT_CHARS].decode("utf-8", "backslashreplace")
    return values
