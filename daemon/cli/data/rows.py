"""`perennial data export` and `perennial data publish`: a task's labelled rows, for other programs and other people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.errors import UserError
from config.words import counted
from daemon.cli import completing
from daemon.cli.output import AsJson, print_json, say, table
from daemon.cli.settings import load_settings
from daemon.views import opening

if TYPE_CHECKING:
    from consumers.training_set.labelled import Counts, Wanted
    from daemon.operations.handing.data.exporting import ExportedData
    from daemon.operations.handing.data.publishing import PublishedData

_Task = Annotated[str, typer.Argument(metavar="TASK", help="Task name.", autocompletion=completing.tasks)]
_Side = Annotated[
    list[str] | None,
    typer.Option("--side", metavar="SIDE", help="train, test or anchor; may be repeated. All of them if left out."),
]
_Feedback = Annotated[bool, typer.Option("--feedback", help="Feedback of users too, where it is in effect.")]
_Weak = Annotated[bool, typer.Option("--weak", help="Labels of rules and of a language model too.")]


def register(group: typer.Typer) -> None:
    """Add the commands to the group."""
    group.command()(export)
    group.command()(publish)


def export(  # noqa: PLR0917 - each is an option of the command
    task: _Task,
    path: Annotated[Path, typer.Argument(metavar="FILE|FOLDER", help="A new file or folder.")],
    as_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="jsonl | parquet | hf (a folder as `datasets` reads it) | docbin (spaCy); by the name if left out.",
        ),
    ] = None,
    side: _Side = None,
    feedback: _Feedback = False,
    weak: _Weak = False,
    as_json: AsJson = False,
) -> None:
    """Write the labelled rows of a task to a file or folder, which `perennial import` reads back."""
    from daemon.operations.handing.data import exporting  # noqa: PLC0415 - heavy

    found = exporting.export(load_settings(), task, path, as_format=as_format, wanted=_wanted(side, feedback=feedback, weak=weak))
    if as_json:
        print_json(found)
    else:
        _tell_exported(found)


def publish(  # noqa: PLR0917 - each is an option of the command
    task: _Task,
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Data set; it is made where it is not there.")],
    side: _Side = None,
    feedback: _Feedback = False,
    weak: _Weak = False,
    public: Annotated[
        bool, typer.Option("--public", help="Everybody may read it; without this a repository is private.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show files and card, and send nothing.")] = False,
    revision: Annotated[str | None, typer.Option(metavar="TAG", help="A tag to keep it under, beside `main`.")] = None,
    as_json: AsJson = False,
) -> None:
    """Publish the labelled rows of a task with a data card on the Hugging Face Hub, private unless you say otherwise."""
    from daemon.operations.handing.data import publishing  # noqa: PLC0415 - heavy

    settings = load_settings()
    with opening.registry(settings) as registry:
        found = publishing.publish(
            settings, registry, task, repo, wanted=_wanted(side, feedback=feedback, weak=weak), public=public, dry_run=dry_run,
            revision=revision,
        )  # fmt: skip
    if as_json:
        print_json(found)
    else:
        _tell_published(found)


def _wanted(sides: list[str] | None, *, feedback: bool, weak: bool) -> Wanted:
    from consumers.training_set.labelled import SIDES, Wanted  # noqa: PLC0415 - heavy

    if unknown := sorted(set(sides or ()).difference(SIDES)):
        message = f"--side {unknown[0]!r} is not known; the sides are {', '.join(SIDES)}"
        raise UserError(message)
    return Wanted(tuple(sides or SIDES), feedback, weak)


def _tell_exported(found: ExportedData) -> None:
    _tell_left_out(found.counts)
    rows = counted(found.counts.rows, "row")
    say(f"{rows} of {found.task} ({_sides(found.counts)}) in {found.path}: {found.format}, {found.size_bytes / 2**20:.1f} MiB")


def _tell_published(found: PublishedData) -> None:
    what = (
        f"{counted(found.counts.rows, 'row')} ({_sides(found.counts)}) in {counted(len(found.files), 'file')}, "
        f"{found.size_bytes / 2**20:.1f} MiB"
    )
    if found.dry_run:
        table(f"data set {found.repo}", ("file", "bytes"), list(found.files.items()))
        say(f"\n{found.card}")
        say(f"{found.task} would be published there: {what}, {'private' if found.private else 'public'}. Nothing was sent.")
        return
    _tell_left_out(found.counts)
    if found.already:
        say(f"{found.repo} has these rows of {found.task} already; nothing was sent")
    else:
        say(f"{found.task} is published, {'private' if found.private else 'public'}: {found.url} ({what})")


def _sides(counts: Counts) -> str:
    return ", ".join(f"{side} {number}" for side, number in counts.sides.items())


def _tell_left_out(counts: Counts) -> None:
    for reason, number in sorted(counts.left_out.items()):
        say(f"left out: {number} {reason}")
