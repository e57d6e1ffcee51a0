"""Commands that move data: import a file as events, ask a model."""

from __future__ import annotations

import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from config.errors import UserError
from config.settings import load_settings
from config.tasks import load_tasks
from consumers import events
from daemon.commands.output import AsJson, console, print_json

_FLUSH_EVERY = 1_000
_SHOWN_BAD_ROWS = 10


def register(app: typer.Typer) -> None:
    """Add this file's commands to the application."""
    app.command("import")(import_)
    app.command()(predict)


def import_(
    file: Annotated[Path, typer.Argument(help="JSONL, CSV, TSV, Parquet or CoNLL, also .xz or .gz.")],
    task: Annotated[str | None, typer.Option(help="Rows become labels of this task; without it, articles.")] = None,
    format_: Annotated[str | None, typer.Option("--format", help="jsonl | csv | tsv | parquet | conll; by the file's name when left out.")] = None,
    text: Annotated[str | None, typer.Option(help="Column with the whole text.")] = None,
    title: Annotated[str | None, typer.Option(help="Column with the title.")] = None,
    body: Annotated[str | None, typer.Option(help="Column with the body.")] = None,
    label: Annotated[str | None, typer.Option(help="Column with the label.")] = None,
    spans: Annotated[str | None, typer.Option(help="Column with entity spans.")] = None,
    when: Annotated[str | None, typer.Option("--time", help="Column with the event time; without it rows take import order.")] = None,
    identifier: Annotated[str | None, typer.Option("--id", help="Column with a stable id.")] = None,
    label_map: Annotated[str, typer.Option(help="Renames labels, e.g. PER=PERSON,MISC=.  An empty name drops the label.")] = "",
    since: Annotated[datetime | None, typer.Option(help="Only rows at or after this time (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="Only rows before this time (UTC).")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many rows.", min=1)] = None,
    rate: Annotated[float | None, typer.Option(help="Events per second; without it as fast as the log takes them.", min=0.001)] = None,
    anchor: Annotated[bool, typer.Option("--anchor", help="The rows are the anchor set: never trained on, they measure forgetting.")] = False,
    as_json: AsJson = False,
) -> None:
    """Turn a file into events. Importing the same file twice changes nothing."""
    from consumers.formats import importing  # noqa: PLC0415 - heavy

    settings = load_settings()
    tasks = load_tasks(settings.tasks_folder)
    if task is not None and task not in tasks:
        message = f"task {task!r} is not defined in {settings.tasks_folder}; the tasks are {', '.join(sorted(tasks))}"
        raise UserError(message)
    mapping = importing.ColumnMapping(
        text=text, title=title, body=body, label=label, spans=spans, time=when, id=identifier, label_map=label_map_of(label_map)
    )
    rows = importing.import_events(
        file, tasks[task] if task else None, mapping, format=format_, since=since, until=until, limit=limit, anchor=anchor
    )
    from consumers.embedded import EmbeddedLog  # noqa: PLC0415 - heavy

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    event_log = EmbeddedLog(settings.event_log_file, retention=timedelta(days=settings.events.retention_days))
    sink = event_log.sink()
    sent, bad = 0, 0
    started = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, disable=as_json, transient=True) as bar:
            shown = bar.add_task(f"importing {file.name}", total=limit)
            for row in rows:
                if isinstance(row, importing.BadRow):
                    bad += 1
                    if bad <= _SHOWN_BAD_ROWS:
                        sys.stderr.write(f"row {row.line} left out: {row.reason}\n")
                    continue
                sink.publish(events.TOPIC_OF_TYPE[row.type], events.to_bytes(row), key=row.event_id.encode())
                sent += 1
                bar.advance(shown)
                if sent % _FLUSH_EVERY == 0 or rate:
                    sink.flush()
                if rate:
                    time.sleep(max(0.0, started + sent / rate - time.monotonic()))
            sink.flush()
    finally:
        event_log.close()
    if as_json:
        print_json({"sent": sent, "bad": bad, "seconds": round(time.monotonic() - started, 2)})
    else:
        more = f"; {bad} rows left out" if bad else ""
        console.print(f"{sent} events sent in {time.monotonic() - started:.1f} s{more}. `perennial status` shows them arrive")
    if bad and not sent:
        raise typer.Exit(1)


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


def label_map_of(option: str) -> dict[str, str]:
    """Return the renames in `OLD=NEW,OLD=NEW`. Raises `UserError` for a part without `=`."""
    renames: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in option.split(","))):
        old, equals, new = part.partition("=")
        if not equals or not old:
            message = f"--label-map: {part!r} is not OLD=NEW"
            raise UserError(message)
        renames[old] = new
    return renames
