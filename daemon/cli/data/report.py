"""`perennial data report`: what the buffer holds for a task."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.errors import UserError
from config.words import counted, named
from daemon.cli import completing
from daemon.cli.output import AsJson, print_json, say
from daemon.cli.settings import load_settings
from daemon.views.data.opened import opened

if TYPE_CHECKING:
    from daemon.views.data.report import DataReport

_STANDARD_OUTPUT = "-"
_SHOWN = 10


def register(app: typer.Typer) -> None:
    """Add this file's command to the group."""
    app.command()(report)


def report(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Task whose rows are looked at.", autocompletion=completing.tasks)],
    output: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the report as one HTML file; - is standard output.")
    ] = None,
    near: Annotated[bool, typer.Option("--near/--no-near", help="Whether near copies are looked for across the sides.")] = True,
    as_json: AsJson = False,
) -> None:
    """Tell what the buffer holds for a task, by label, source, language, month and side, with leaks, shifts and holes."""
    from daemon.operations import near_copies  # noqa: PLC0415 - heavy
    from daemon.views.data import report as views  # noqa: PLC0415 - heavy

    settings = load_settings()
    with opened(settings, task) as (spec, buffer):
        found = views.read(buffer, spec, settings, now=datetime.now(UTC), near=near)
    if near and found.near_copies is not None and (lost := near_copies.keep(settings, task, found.near_copies, at=found.at)):
        typer.echo(f"{lost}; the report itself is whole", err=True)
    if output is not None:
        _write(found, output)
    if as_json:
        print_json(found)
    elif output != _STANDARD_OUTPUT:
        _tell(found)


def _write(found: DataReport, output: str) -> None:
    from config.files.durable import write_atomic  # noqa: PLC0415 - only this needs it
    from daemon.views.data import sections  # noqa: PLC0415 - heavy

    written = sections.html(found)
    if output == _STANDARD_OUTPUT:
        sys.stdout.buffer.write(written)
        return
    try:
        write_atomic(Path(output), written)
    except OSError as error:
        message = f"the report could not be written to {output} ({error.strerror}); name another file with --output"
        raise UserError(message) from None


def _tell(found: DataReport) -> None:
    sides = ", ".join(f"{side} {rows:,}" for side, rows in found.sides.items() if rows)
    say((f"{found.task}: ", "bold"), f"{counted(found.rows, 'labelled row')} of {found.texts:,} texts ({sides or 'none'})")
    if found.unenriched:
        say((f"{found.unenriched:,} more are being enriched", "dim"))
    for about, parts, more in (
        ("labels", found.labels, found.other_labels), ("sources", found.sources, found.other_sources),
        ("languages", found.languages, 0),
    ):  # fmt: skip
        told = [f"{one.name} {one.train:,}+{one.test:,}" for one in parts]
        say((f"{about:<10}", "dim"), named(told, _SHOWN) + (f" and {more:,} more" if more else "") or "none", indent=10)
    if found.annotators.agreement:
        every = found.annotators.agreement[0]
        alphas = [f"alpha {every.alpha:.2f}"] if every.alpha is not None and not every.numbers else []
        alphas += [f"{one.name} alpha {one.alpha:.2f}" for one in every.numbers if one.alpha is not None]
        agreed = ", ".join([f"{every.share:.0%} of {counted(every.compared, 'pair')} of answers are the same", *alphas])
        say((f"{'people':<10}", "dim"), f"{every.who}: {agreed}", indent=10)
    if found.months:
        say((f"{'months':<10}", "dim"), f"{found.months[0].name} to {found.months[-1].name}, {len(found.months)} with rows")
    say(
        (f"{'rules':<10}", "dim"),
        f"{found.policy.kept:,} of {found.policy.rows:,} rows of the train side are fit to learn from",
        indent=10,
    )
    say((f"{'to look at':<10}", "bold"), "" if found.warnings else " nothing stands out")
    for one in found.warnings:
        say(f"  - {one}", indent=4)
    say(("(rows are told as train+test)", "dim"))
