"""How a file of rows is to be read: the options that every command with such a file has."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from config.errors import UserError
from config.words import printable
from daemon.cli import grouped

if TYPE_CHECKING:
    from config.settings import Settings
    from config.tasks import TaskSpec
    from consumers.formats.importing import Import
    from consumers.formats.rows import BadRow

FILES = (
    "JSONL, JSON, CSV, TSV, Parquet or CoNLL (also .xz or .gz), exports of doccano, Label Studio, Prodigy and spaCy, "
    "brat's .ann, or a folder of those, such as a data set of the Hugging Face Hub"
)
_SHOWN_BAD_ROWS = 10
_NESTED = ("outermost", "innermost", "refuse")


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file of rows is to be read: each field is an option."""

    format_: Annotated[
        str | None,
        typer.Option(
            "--format", help="jsonl | csv | parquet | conll | brat | docbin; recognised by the file's name if left out."
        ),
    ] = None
    text: Annotated[str | None, typer.Option(help="Column with the whole text.")] = None
    title: Annotated[str | None, typer.Option(help="Column with the title.")] = None
    body: Annotated[str | None, typer.Option(help="Column with the body.")] = None
    label: Annotated[str | None, typer.Option(help="Column with the label, or with several.")] = None
    spans: Annotated[str | None, typer.Option(help="Column with entity spans.")] = None
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=COLUMN", help="Column of another field of the task's kind; may be repeated."),
    ] = None
    when: Annotated[
        str | None, typer.Option("--time", help="Column with the event time; without it the order of the rows counts.")
    ] = None
    identifier: Annotated[str | None, typer.Option("--id", help="Column with a stable id of the article.")] = None
    group: Annotated[
        str | None,
        typer.Option(help="Column that names a row's document; one document is never in both training and test."),
    ] = None
    columns: Annotated[
        str | None,
        typer.Option(help="Columns of token and tag: 2,3 in CoNLL (counted from 1), Word,Tag,Sentence in a table."),
    ] = None
    nested: Annotated[str, typer.Option(help="For nested spans: keep the outermost, the innermost, or refuse the row.")] = (
        "outermost"
    )
    header: Annotated[bool, typer.Option("--header/--no-header", help="Whether a CSV file's first row names its columns.")] = True
    delimiter: Annotated[str | None, typer.Option(help="Delimiter of a CSV file, such as ; or tab; recognised if left out.")] = (
        None
    )
    encoding: Annotated[str | None, typer.Option(help="Encoding of the file, such as cp1252; recognised if left out.")] = None
    label_map: Annotated[
        str, typer.Option(help="Rename labels: PER=PERSON,MISC= (an empty name drops the label), or @FILE with such pairs.")
    ] = ""
    split: Annotated[
        list[str] | None,
        typer.Option(metavar="PART", help="Only this part of a folder or data set, such as train; may be repeated."),
    ] = None
    limit: Annotated[int | None, typer.Option(help="Read at most this many rows.", min=1)] = None

    def plan(
        self,
        file: Path,
        task: TaskSpec | None,
        settings: Settings,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        anchor: bool = False,
        source: str = "import",
    ) -> Import:
        """Look at the whole of a file, read so. Raises `UserError` where that is not possible."""
        from consumers.formats.files.csv import delimiter_named  # noqa: PLC0415 - heavy
        from consumers.formats.importing import plan  # noqa: PLC0415 - heavy
        from consumers.formats.mapping import ColumnMapping, read_columns, read_label_map  # noqa: PLC0415 - heavy
        from consumers.formats.options import ImportOptions  # noqa: PLC0415 - heavy

        _check_choices(self.format_, self.nested)
        return plan(
            file,
            task,
            ColumnMapping(
                text=self.text, title=self.title, body=self.body, label=self.label, spans=self.spans, time=self.when,
                id=self.identifier, group=self.group, others=read_columns(self.column or ()),
            ),
            options=ImportOptions(
                format=cast("Any", self.format_), header=self.header, labels=read_label_map(self.label_map) or None,
                anchor=anchor, source=source, since=since, until=until, limit=self.limit, encoding=self.encoding,
                nested=cast("Any", self.nested), splits=tuple(self.split) if self.split else None,
                delimiter=delimiter_named(self.delimiter) if self.delimiter else None,
                columns=tuple(part.strip() for part in self.columns.split(",")) if self.columns else None,
            ),
            future_tolerance=timedelta(seconds=settings.ingest.future_tolerance_s),
        )  # fmt: skip


with_options = grouped.with_options(how=Reading)
"""Gives a command an option for each field of `Reading`, and hands them over as its argument `how`."""


def _check_choices(format_: str | None, nested: str) -> None:
    from consumers.formats.files.source import SUFFIXES  # noqa: PLC0415 - heavy

    formats = sorted(set(SUFFIXES.values()))
    if format_ is not None and format_ not in formats:
        message = f"--format {format_!r} is not known; the formats are {', '.join(formats)}"
        raise UserError(message)
    if nested not in _NESTED:
        message = f"--nested {nested!r} is not known; choose one of {', '.join(_NESTED)}"
        raise UserError(message)


class BadRows:
    """Shows the first unusable rows, on standard error."""

    def __init__(self) -> None:
        self._seen = 0

    def show(self, row: BadRow) -> None:
        """Show a row, or say once that there are more."""
        self._seen += 1
        # One that swallows its neighbours is always shown.
        if self._seen <= _SHOWN_BAD_ROWS or row.swallowed:
            sys.stderr.write(printable(f"row {row.line} left out: {row.reason}") + "\n")
        elif self._seen == _SHOWN_BAD_ROWS + 1:
            sys.stderr.write("more rows are left out; the total is shown at the end\n")
