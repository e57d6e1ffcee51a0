"""`perennial import`: a file of any supported tool becomes events."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from config.errors import UserError
from config.settings import Settings, load_settings
from config.tasks import load_tasks
from config.words import counted, printable
from consumers.events import schemas as events
from daemon.cli.output import AsJson, console, print_json, say

if TYPE_CHECKING:
    from consumers.formats.importing import Import
    from consumers.formats.rows import BadRow
    from consumers.formats.summary import Summary
    from daemon.operations.importing import Sent
    from trainers.learners.reading_length import ReadingLength

_SHOWN_BAD_ROWS = 10
_SHOWN_LABELS = 30
_NESTED = ("outermost", "innermost", "refuse")


def register(app: typer.Typer) -> None:
    """Add this file's command to the application."""
    app.command("import")(import_)


def import_(  # noqa: PLR0917 - typer gives every option by name
    file: Annotated[
        Path,
        typer.Argument(
            help="JSONL, JSON, CSV, TSV, Parquet or CoNLL (also .xz or .gz), exports of doccano, Label Studio, Prodigy and "
            "spaCy, brat's .ann, or a folder of those."
        ),
    ],
    task: Annotated[str | None, typer.Option(help="Import rows as labels of this task; without it, as articles.")] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format", help="jsonl | csv | parquet | conll | brat | docbin; recognised by the file's name if left out."
        ),
    ] = None,
    text: Annotated[str | None, typer.Option(help="Column with the whole text.")] = None,
    title: Annotated[str | None, typer.Option(help="Column with the title.")] = None,
    body: Annotated[str | None, typer.Option(help="Column with the body.")] = None,
    label: Annotated[str | None, typer.Option(help="Column with the label, or with several.")] = None,
    spans: Annotated[str | None, typer.Option(help="Column with entity spans.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=COLUMN", help="Column of another field of the task's kind; may be repeated."),
    ] = None,
    when: Annotated[
        str | None, typer.Option("--time", help="Column with the event time; without it the order of the rows counts.")
    ] = None,
    identifier: Annotated[str | None, typer.Option("--id", help="Column with a stable id of the article.")] = None,
    group: Annotated[
        str | None,
        typer.Option(help="Column that names a row's document; one document is never in both training and test."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(help="Columns of token and tag: 2,3 in CoNLL (counted from 1), Word,Tag,Sentence in a table."),
    ] = None,
    nested: Annotated[
        str, typer.Option(help="For nested spans: keep the outermost, the innermost, or refuse the row.")
    ] = "outermost",
    header: Annotated[
        bool, typer.Option("--header/--no-header", help="Whether a CSV file's first row names its columns.")
    ] = True,
    delimiter: Annotated[
        str | None, typer.Option(help="Delimiter of a CSV file, such as ; or tab; recognised if left out.")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Encoding of the file, such as cp1252; recognised if left out.")] = None,
    label_map: Annotated[
        str, typer.Option(help="Rename labels: PER=PERSON,MISC= (an empty name drops the label), or @FILE with such pairs.")
    ] = "",
    since: Annotated[datetime | None, typer.Option(metavar="DATE", help="Only rows at or after this time (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(metavar="DATE", help="Only rows before this time (UTC).")] = None,
    limit: Annotated[int | None, typer.Option(help="Import at most this many rows.", min=1)] = None,
    rate: Annotated[float | None, typer.Option(help="Events per second; by default as fast as possible.", min=0.001)] = None,
    anchor: Annotated[
        bool, typer.Option("--anchor", help="Import as the anchor set, which is never trained on and measures forgetting.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what the file contains; import nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import a file as events. Importing the same file twice changes nothing."""
    from consumers.formats.files.csv import delimiter_named  # noqa: PLC0415 - heavy
    from consumers.formats.importing import plan  # noqa: PLC0415 - heavy
    from consumers.formats.mapping import ColumnMapping, read_columns, read_label_map  # noqa: PLC0415 - heavy
    from consumers.formats.options import ImportOptions  # noqa: PLC0415 - heavy
    from consumers.formats.summary import Summary  # noqa: PLC0415 - heavy
    from daemon.operations.importing import Sent, send  # noqa: PLC0415 - heavy
    from trainers.learners.reading_length import reading_length  # noqa: PLC0415 - heavy

    settings = load_settings()
    tasks = load_tasks(settings.tasks_folder)
    if task is not None and task not in tasks:
        message = f"task {task!r} is not defined in {settings.tasks_folder}; the tasks are {', '.join(sorted(tasks))}"
        raise UserError(message)
    _check_choices(format_, nested)
    with _bar(file, hidden=as_json) as (bar, shown):
        found = plan(
            file,
            tasks[task] if task else None,
            ColumnMapping(
                text=text, title=title, body=body, label=label, spans=spans, time=when, id=identifier, group=group,
                others=read_columns(column or ()),
            ),
            options=ImportOptions(
                format=cast("Any", format_), header=header, labels=read_label_map(label_map) or None, anchor=anchor,
                since=_utc(since), until=_utc(until), limit=limit, encoding=encoding, nested=cast("Any", nested),
                delimiter=delimiter_named(delimiter) if delimiter else None,
                columns=tuple(part.strip() for part in columns.split(",")) if columns else None,
            ),
            future_tolerance=timedelta(seconds=settings.ingest.future_tolerance_s),
        )  # fmt: skip
        summary = Summary()
        # All of it is read before anything is sent, so that problems are shown first.
        length = reading_length(tasks[task]) if task else None
        for event in summary.count(found.events(lambda share: bar.update(shown, completed=share / 2)), _BadRows(summary).show):
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


def _check_choices(format_: str | None, nested: str) -> None:
    from consumers.formats.files.source import SUFFIXES  # noqa: PLC0415 - heavy

    formats = sorted(set(SUFFIXES.values()))
    if format_ is not None and format_ not in formats:
        message = f"--format {format_!r} is not known; the formats are {', '.join(formats)}"
        raise UserError(message)
    if nested not in _NESTED:
        message = f"--nested {nested!r} is not known; choose one of {', '.join(_NESTED)}"
        raise UserError(message)


class _BadRows:
    """Shows the first unusable rows, on standard error."""

    def __init__(self, summary: Summary) -> None:
        self._summary = summary

    def show(self, row: BadRow) -> None:
        # One that swallows its neighbours is always shown.
        if self._summary.bad <= _SHOWN_BAD_ROWS or row.swallowed:
            sys.stderr.write(printable(f"row {row.line} left out: {row.reason}") + "\n")
        elif self._summary.bad == _SHOWN_BAD_ROWS + 1:
            sys.stderr.write("more rows are left out; the total is shown at the end\n")


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
            "rows": summary.rows, "sent": new, "known": known, "left_out": left_out, "bad": summary.bad, "labels": summary.labels,
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
    after = f" Sent in {seconds:.1f} s; follow with `perennial status`." if new else ""
    console.print(f"{read}: {new} new{sure}, {known} already known{excluded}{bad}.{after}")


@contextmanager
def _bar(file: Path, *, hidden: bool) -> Iterator[tuple[Progress, TaskID]]:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=hidden or not console.is_terminal, transient=True) as bar:
        yield bar, bar.add_task(f"importing {printable(file.name)}", total=1.0)


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
