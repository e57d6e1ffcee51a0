"""`perennial anchor`: the frozen rows that measure forgetting."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.errors import UserError
from config.words import counted
from daemon.cli import completing, reading
from daemon.cli.output import AsJson, print_json, say, table
from daemon.cli.settings import load_settings
from daemon.views import opening

if TYPE_CHECKING:
    from config.settings import Settings
    from config.tasks import TaskSpec

app = typer.Typer(help="The anchor set: frozen rows that measure forgetting.", no_args_is_help=True)


@app.command("import")
@reading.with_options
def import_(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Task name.", autocompletion=completing.tasks)],
    file: Annotated[Path, typer.Argument(metavar="FILE", help=f"{reading.FILES}.")],
    add: Annotated[bool, typer.Option("--add", help="Import it beside the anchor set that is there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look at the file; import nothing.")] = False,
    as_json: AsJson = False,
    *,
    how: reading.Reading,
) -> None:
    """Import a file as the anchor set of a task: never trained on, frozen, out of reach of feedback."""
    from consumers.formats.summary import Summary  # noqa: PLC0415 - heavy
    from daemon.operations import anchoring  # noqa: PLC0415 - heavy
    from daemon.operations.importing import send  # noqa: PLC0415 - heavy

    settings = load_settings()
    spec = _task(settings, task)
    source = anchoring.source_of_file(file)
    found = how.plan(file, spec, settings, anchor=True, source=source)
    summary, rows = Summary(), anchoring.Rows()
    for event in summary.count(found.events(), reading.BadRows().show):
        rows.add(event)
    anchoring.refuse_unusable(summary)
    notes: tuple[str, ...] = ()
    if settings.buffer_dir.exists():
        with opening.buffer(settings) as buffer:
            notes = anchoring.look(buffer, spec, rows, summary.labels, source=source, add=add)
    sent = None if dry_run else send(settings, found, rate=None, progress=lambda _share: None)
    if as_json:
        print_json({
            "task": task, "rows": summary.events, "sent": sent.new if sent is not None else 0,
            "known": sent.known if sent is not None else 0, "labels": summary.labels, "source": source,
            "documents": len(rows.documents), "notes": list(notes),
        })  # fmt: skip
        return
    for note in notes:
        say(note)
    if sent is None:
        say(f"{counted(summary.events, 'row')} can be imported. Nothing was sent (--dry-run).")
        return
    known = f", {sent.known} already known" if sent.known else ""
    say(f"{counted(sent.new, 'anchor row')} sent for {task}{known}; `perennial anchor list` shows them once they are enriched")


@app.command("list")
def list_(
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="Task name.", autocompletion=completing.tasks)] = None,
    as_json: AsJson = False,
) -> None:
    """Show the anchor set of each task: its size, and where its rows came from."""
    from config.tasks import load_tasks  # noqa: PLC0415 - heavy
    from daemon.views.task import anchors  # noqa: PLC0415 - heavy

    settings = load_settings()
    names = [_task(settings, task).name] if task is not None else sorted(load_tasks(settings.tasks_folder))
    with opening.buffer(settings) as buffer:
        found = anchors.every(buffer, names)
    if as_json:
        print_json(found)
        return
    for one in found:
        title = f"{one.task}: anchor rows {one.rows}" + (f" of {one.needed} needed" if one.rows < one.needed else "")
        table(
            title, ("from", "rows", "documents", "oldest", "newest", "since"),
            [(part.origin, part.rows, part.documents, part.oldest, part.newest, part.since) for part in one.parts],
            empty=f"none yet; `perennial anchor import {one.task} FILE` brings them",
        )  # fmt: skip


def _task(settings: Settings, name: str) -> TaskSpec:
    from config.tasks import load_tasks  # noqa: PLC0415 - heavy

    tasks = load_tasks(settings.tasks_folder)
    if name not in tasks:
        message = f"task {name!r} is not defined in {settings.tasks_folder}; the tasks are {', '.join(sorted(tasks))}"
        raise UserError(message)
    return tasks[name]
