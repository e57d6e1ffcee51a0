"""`perennial import`: a file of any supported tool becomes events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from config.errors import UserError
from config.words import counted, moment, printable
from daemon.cli import completing, reading
from daemon.cli.actor import ACTOR
from daemon.cli.output import AsJson, console, print_json, say, table
from daemon.cli.settings import load_settings

if TYPE_CHECKING:
    from config.settings import Settings
    from consumers.formats.importing import Import
    from consumers.formats.summary import Summary
    from daemon.operations.importing import Sent
    from trainers.learners.reading_length import ReadingLength

_SHOWN_LABELS = 30
_ABOUT_IMPORTS = ("list", "undo")


def register(app: typer.Typer) -> None:
    """Add this file's command to the application."""
    app.command("import")(import_)


@reading.with_options
def import_(  # noqa: PLR0917 - typer gives every option by name
    place: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help=f"{reading.FILES}; or hf://OWNER/NAME, with @REVISION and /FOLDER where needed, a data set there. "
            "`list` shows the imports, and `undo ID` takes one back.",
        ),
    ],
    import_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Of the import to undo.", show_default=False)] = None,
    task: Annotated[
        str | None,
        typer.Option(help="Import rows as labels of this task; without it, as articles.", autocompletion=completing.tasks),
    ] = None,
    since: Annotated[datetime | None, typer.Option(metavar="DATE", help="Only rows at or after this time (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(metavar="DATE", help="Only rows before this time (UTC).")] = None,
    rate: Annotated[float | None, typer.Option(help="Events per second; by default as fast as possible.", min=0.001)] = None,
    anchor: Annotated[
        bool, typer.Option("--anchor", help="Import as the anchor set, which is never trained on and measures forgetting.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what the file contains; import nothing.")] = False,
    why: Annotated[str, typer.Option("--why", help="Reason of an undoing, kept in the history.")] = "",
    as_json: AsJson = False,
    *,
    how: reading.Reading,
) -> None:
    """Import a file, a folder or a data set of the Hub as events. Importing the same rows twice changes nothing."""
    from config.tasks import load_tasks  # noqa: PLC0415 - heavy
    from consumers.events import schemas as events  # noqa: PLC0415 - heavy
    from consumers.formats.summary import Summary  # noqa: PLC0415 - heavy
    from daemon.operations.handing.fetching import local  # noqa: PLC0415 - heavy
    from daemon.operations.importing import Sent, send  # noqa: PLC0415 - heavy
    from trainers.learners.reading_length import reading_length  # noqa: PLC0415 - heavy

    settings = load_settings()
    if place in _ABOUT_IMPORTS or import_id is not None:
        _about_imports(settings, place, import_id, why, as_json=as_json)
        return
    tasks = load_tasks(settings.tasks_folder)
    if task is not None and task not in tasks:
        message = f"task {task!r} is not defined in {settings.tasks_folder}; the tasks are {', '.join(sorted(tasks))}"
        raise UserError(message)
    file = local(settings, place)
    with _bar(file, hidden=as_json) as (bar, shown):
        found = how.plan(file, tasks[task] if task else None, settings, since=_utc(since), until=_utc(until), anchor=anchor)
        summary = Summary()
        # All of it is read before anything is sent, so that problems are shown first.
        length = reading_length(tasks[task]) if task else None
        for event in summary.count(found.events(lambda share: bar.update(shown, completed=share / 2)), reading.BadRows().show):
            if length is not None and isinstance(event, events.Label) and event.text is not None:
                length.add(event.text)
        if length is not None:
            length.done()
        if not as_json:
            _say(file, found, summary, length)
        sent = None if dry_run else Sent(0, 0, 0.0)
        if not dry_run and summary.events:
            sent = send(settings, found, rate=rate, progress=lambda share: bar.update(shown, completed=0.5 + share / 2))
    _report(settings, found, summary, length, sent=sent, as_json=as_json)
    if summary.swallowed or not summary.events:
        raise typer.Exit(1)


def _about_imports(settings: Settings, place: str, import_id: str | None, why: str, *, as_json: bool) -> None:
    """Show the imports, or take one back."""
    from daemon.operations import imports  # noqa: PLC0415 - heavy

    if (place == "undo") != (import_id is not None):
        message = (
            "write `perennial import undo ID`, `perennial import list` or `perennial import FILE`; a file called so is ./undo"
        )
        raise UserError(message)
    if import_id is None:
        found = imports.listed(settings)
        if as_json:
            print_json(found)
            return
        labels = {one.import_id: ", ".join(f"{task} {rows}" for task, rows in one.tasks.items()) for one in found}
        rows = [(one.import_id, moment(one.last_stored), labels[one.import_id], one.articles or "") for one in found]
        table("imports", ("id", "stored", "labels", "articles"), rows)
        return
    undone = imports.undo(settings, import_id, by=ACTOR, why=why)
    if as_json:
        print_json(undone)
        return
    say(
        f"Import {undone.import_id} is taken back: {counted(undone.rows, 'row')}, within seconds of the daemon's work. Versions "
        "that learnt from it say so. It can be imported again after that."
    )


def _say(file: Path, found: Import, summary: Summary, length: ReadingLength | None) -> None:
    """Show what was recognised and what the file contains, before anything is sent."""
    from consumers.formats.summary import odd_labels  # noqa: PLC0415 - heavy

    lines = [f"{file.name}: {found.source.format}", *(f"  {one}" for one in found.said)]
    lines += [f"  {reason}, left out: {count}" for reason, count in summary.left_out.items()]
    lines += [f"  {one}" for one in found.findings.in_words()]
    if summary.documents:
        lines.append(f"  documents: {len(summary.documents)}; none of them is in both training and test")
    if summary.labels:
        lines.append(f"  labels: {_counted(summary.labels)}")
    lines += [f"  {what}: {count}" for what, count in summary.empty.items()]
    if length is not None and length.cut:
        lines.append(
            f"  longer than training.max_tokens ({length.max_tokens}): {length.cut} of {length.texts} texts "
            f"({length.cut / length.texts:.0%}); only their beginning is used"
        )
    lines += [f"  please check: labels {one}" for one in odd_labels(summary.labels)]
    for line in lines:
        say(line)


def _counted(counts: dict[str, int]) -> str:
    most = sorted(counts, key=lambda label: (-counts[label], label))
    more = f" and {len(most) - _SHOWN_LABELS} more" if len(most) > _SHOWN_LABELS else ""
    return ", ".join(f"{label} {counts[label]}" for label in most[:_SHOWN_LABELS]) + more


def _report(
    settings: Settings, found: Import, summary: Summary, length: ReadingLength | None, *, sent: Sent | None,
    as_json: bool,
) -> None:  # fmt: skip
    new, known, seconds = (sent.new, sent.known, sent.seconds) if sent is not None else (0, 0, 0.0)
    if as_json:
        left_out = sum(summary.left_out.values())
        print_json({
            "import": found.identity, "rows": summary.rows, "sent": new, "known": known, "left_out": left_out, "bad": summary.bad,
            "labels": summary.labels,
            "texts_cut": length.cut if length is not None else None,
            "recognised": list(found.said), "noticed": found.findings.in_words(), "seconds": round(seconds, 2),
        })  # fmt: skip
        return
    if not summary.rows:
        console.print("Nothing was imported: the file holds no rows.")
        return
    bad = f", {summary.bad} unusable" if summary.bad else ""
    excluded = f", {sum(summary.left_out.values())} left out" if summary.left_out else ""
    read = f"{counted(summary.rows, 'row')} read"
    if sent is None:
        console.print(f"{read}: {summary.events} usable{excluded}{bad}. Nothing was sent (--dry-run).")
        return
    # Events that wait in Kafka cannot be looked up.
    sure = "" if settings.events.backend == "embedded" or not new else " to this buffer"
    undo = f" `perennial import undo {found.identity}` takes it back."
    after = f" Sent in {seconds:.1f} s; follow with `perennial status`.{undo}" if new else ""
    console.print(f"{read}: {new} new{sure}, {known} already known{excluded}{bad}.{after}")


@contextmanager
def _bar(file: Path, *, hidden: bool) -> Iterator[tuple[Progress, TaskID]]:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=hidden or not console.is_terminal, transient=True) as bar:
        yield bar, bar.add_task(f"importing {printable(file.name)}", total=1.0)


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
