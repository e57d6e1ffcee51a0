"""Commands that move data: import a file as events, ask a model."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from pydantic import BaseModel
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from config.errors import UserError
from config.settings import Settings, load_settings
from config.tasks import load_tasks
from consumers import events
from daemon.commands.output import AsJson, console, print_json

if TYPE_CHECKING:
    from consumers.formats.rows import BadRow

_FLUSH_EVERY = 1_000
_SHOWN_BAD_ROWS = 10


def register(app: typer.Typer) -> None:
    """Add this file's commands to the application."""
    app.command("import")(import_)
    app.command()(predict)


def import_(  # noqa: PLR0917 - typer gives every option by name
    file: Annotated[Path, typer.Argument(help="JSONL, CSV, TSV, Parquet or CoNLL, also .xz or .gz.")],
    task: Annotated[str | None, typer.Option(help="Rows become labels of this task; without it, articles.")] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="jsonl | csv | parquet | conll; by the file's name when left out.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Column with the whole text.")] = None,
    title: Annotated[str | None, typer.Option(help="Column with the title.")] = None,
    body: Annotated[str | None, typer.Option(help="Column with the body.")] = None,
    label: Annotated[str | None, typer.Option(help="Column with the label.")] = None,
    spans: Annotated[str | None, typer.Option(help="Column with entity spans.")] = None,
    when: Annotated[
        str | None, typer.Option("--time", help="Column with the event time; without it rows take import order.")
    ] = None,
    identifier: Annotated[str | None, typer.Option("--id", help="Column with a stable id.")] = None,
    header: Annotated[
        bool, typer.Option("--header/--no-header", help="Whether a CSV file's first row names its columns.")
    ] = True,
    label_map: Annotated[str, typer.Option(help="Renames labels, e.g. PER=PERSON,MISC=; an empty name drops the label.")] = "",
    since: Annotated[datetime | None, typer.Option(help="Only rows at or after this time (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="Only rows before this time (UTC).")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many rows.", min=1)] = None,
    rate: Annotated[
        float | None, typer.Option(help="Events per second; without it as fast as the log takes them.", min=0.001)
    ] = None,
    anchor: Annotated[
        bool, typer.Option("--anchor", help="The rows are the anchor set: never trained on, they measure forgetting.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Turn a file into events. Importing the same file twice changes nothing."""
    from consumers.formats.importing import SUFFIXES, ImportOptions, import_events  # noqa: PLC0415 - heavy
    from consumers.formats.mapping import ColumnMapping, parse_pairs  # noqa: PLC0415 - heavy

    settings = load_settings()
    tasks = load_tasks(settings.tasks_folder)
    if task is not None and task not in tasks:
        message = f"task {task!r} is not defined in {settings.tasks_folder}; the tasks are {', '.join(sorted(tasks))}"
        raise UserError(message)
    formats = sorted(set(SUFFIXES.values()))
    if format_ is not None and format_ not in formats:
        message = f"--format {format_!r} is not known; the formats are {', '.join(formats)}"
        raise UserError(message)
    with _bar(file, hidden=as_json) as (bar, shown):
        rows = import_events(
            file,
            tasks[task] if task else None,
            ColumnMapping(text=text, title=title, body=body, label=label, spans=spans, time=when, id=identifier),
            options=ImportOptions(
                format=cast("Any", format_), header=header, labels=parse_pairs(label_map) or None, anchor=anchor,
                since=_utc(since), until=_utc(until), limit=limit,
            ),
            progress=lambda share: bar.update(shown, completed=share),
        )  # fmt: skip
        sent, bad, seconds = _send(settings, rows, rate)
    if as_json:
        print_json({"sent": sent, "bad": bad, "seconds": round(seconds, 2)})
    else:
        more = f"; {bad} rows left out" if bad else ""
        console.print(f"{sent} events sent in {seconds:.1f} s{more}. `perennial status` shows them arrive")
    if bad and not sent:
        raise typer.Exit(1)


def _send(settings: Settings, rows: Iterable[events.AnyEvent | BadRow], rate: float | None) -> tuple[int, int, float]:
    """Publish events; return how many were sent, how many rows gave none, and the seconds it took."""
    from consumers.event_log import open_event_log  # noqa: PLC0415 - heavy

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    sent = bad = 0
    with ExitStack() as stack:
        event_log = open_event_log(settings)
        stack.callback(event_log.close)
        sink = event_log.sink()
        stack.callback(sink.close)
        for row in rows:
            if not isinstance(row, BaseModel):
                bad += 1
                if bad <= _SHOWN_BAD_ROWS:
                    sys.stderr.write(f"row {row.line} left out: {row.reason}\n")
                continue
            sink.publish(events.TOPIC_OF_TYPE[row.type], events.to_bytes(row), key=events.key_of(row))
            sent += 1
            if rate or sent % _FLUSH_EVERY == 0:
                sink.flush()
            if rate:
                time.sleep(max(0.0, started + sent / rate - time.monotonic()))
    return sent, bad, time.monotonic() - started


@contextmanager
def _bar(file: Path, *, hidden: bool) -> Iterator[tuple[Progress, TaskID]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=hidden, transient=True) as bar:
        yield bar, bar.add_task(f"importing {file.name}", total=1.0)


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def predict(
    task: Annotated[str, typer.Argument(help="Task to ask.")],
    text: Annotated[list[str] | None, typer.Argument(help="Texts; without them one per line from standard input.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the champion. Uses the serving process when one is up, else loads the model here."""
    from daemon import asking  # noqa: PLC0415 - heavy

    texts = text or [line.strip() for line in sys.stdin if line.strip()]
    if not texts:
        message = "no text given; name texts as arguments or send one per line on standard input"
        raise UserError(message)
    answered = asking.ask(load_settings(), task, texts)
    if as_json:
        print_json(answered)
        return
    console.print(f"[dim]{answered['version']}, by {answered['by']}[/]")
    for asked, prediction in zip(texts, answered["predictions"], strict=True):
        console.print(asking.in_words(asked, prediction))
