"""From a file to events: the same file gives the same events, so that importing twice changes nothing."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from config.clock import Clock, utc_now
from config.durable import sha256_of_file
from config.errors import DeadLetterError, UserError
from config.tasks import TaskSpec
from config.times import read_time
from consumers.event_errors import explain
from consumers.events import AnyEvent, Article, Label, article_text, check_target
from consumers.formats import conll, csv, jsonl, parquet
from consumers.formats.mapping import ColumnMapping, read_label, read_spans
from consumers.formats.open import ImportFile, open_import, uncompressed_name
from consumers.formats.rows import AnyRow, BadRow, Row

Format = Literal["jsonl", "csv", "parquet", "conll"]
SUFFIXES: Mapping[str, Format] = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "csv",
    ".parquet": "parquet", ".pq": "parquet", ".conll": "conll", ".iob": "conll", ".bio": "conll",
}  # fmt: skip
_COLUMNS_FROM_ROWS = 100
"""JSON rows may leave a field out: the columns are those of the first rows together."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What else decides which events a file gives. Times: `since` is included, `until` is not."""

    format: Format | None = None
    header: bool = True
    labels: Mapping[str, str] | None = None
    """Label in the file -> label here; nothing leaves it out."""
    origin: Literal["gold", "import", "audit"] = "import"
    anchor: bool = False
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None


def format_of(path: Path) -> Format:
    """Return the format that a file's name tells. Raises `UserError` naming the formats when it tells none."""
    suffix = uncompressed_name(path).suffix.lower()
    if suffix not in SUFFIXES:
        message = f"the name {path.name} does not tell its format; give --format jsonl, csv, parquet or conll"
        raise UserError(message)
    return SUFFIXES[suffix]


def read_rows(
    path: Path,
    format: Format | None = None,  # noqa: A002 - the word users know it by
    *,
    header: bool = True,
    progress: Callable[[float], None] | None = None,
) -> Iterator[AnyRow]:
    """Yield every row of a file, unreadable ones as `BadRow`. `progress` hears how much of the file is read, 0..1.

    Raises `UserError` when the file is missing, damaged, or of an unknown format.
    """
    chosen = format or format_of(path)
    with open_import(path) as file:
        for row in _reader(file, chosen, header=header):
            if progress is not None:
                progress(file.share_read())
            yield row
    if progress is not None:
        progress(1.0)


def import_events(
    path: Path,
    task: TaskSpec | None,
    mapping: ColumnMapping | None = None,
    *,
    options: ImportOptions | None = None,
    clock: Clock = utc_now,
    progress: Callable[[float], None] | None = None,
) -> Iterator[AnyEvent | BadRow]:
    """Yield one label event per row for `task`, or one article per row without a task; a row that gives none is a `BadRow`.

    A row without a time takes import order: the file's own time (never ahead of `clock`) plus a microsecond per line. Raises
    `UserError` when the file cannot be read, when a column is missing, naming those that exist, or when it holds events.
    """
    chosen = options or ImportOptions()
    mapping = mapping or ColumnMapping()
    rows = read_rows(path, chosen.format, header=chosen.header, progress=progress)
    head = list(itertools.islice(rows, _COLUMNS_FROM_ROWS))
    names = list(dict.fromkeys(name for row in head if isinstance(row, Row) for name in row.values))
    if mapping == ColumnMapping() and {"type", "event_id"} <= set(names):
        message = (
            "these rows look like events already (they have 'type' and 'event_id'); importing would make other events of them. "
            "Post them to /v1/feedback or publish them to Kafka; to import them all the same, name their columns (--text text)"
        )
        raise UserError(message)
    columns = mapping.resolve(names) if names else {}
    _require(columns, names, task, chosen)
    writer = _Writer(task, columns, chosen, _identity(path, task, mapping, chosen), _file_time(path, clock))
    given = 0
    for row in itertools.chain(head, rows):
        if chosen.limit is not None and given >= chosen.limit:
            return
        event = row if isinstance(row, BadRow) else writer.event(row)
        if event is None:
            continue
        given += not isinstance(event, BadRow)
        yield event


@dataclass(frozen=True, slots=True)
class _Writer:
    """Turns rows of one file into events."""

    task: TaskSpec | None
    columns: Mapping[str, str]
    options: ImportOptions
    identity: str
    undated_from: datetime

    def event(self, row: Row) -> AnyEvent | BadRow | None:
        """Return the row's event, None when it lies outside the times asked for."""
        try:
            occurred_at = self._time(row)
            if not self._wanted(occurred_at):
                return None
            return self._label(row, self.task, occurred_at) if self.task else self._article(row, occurred_at)
        except DeadLetterError as error:
            return BadRow(row.line, error.reason)
        except ValidationError as error:
            return BadRow(row.line, explain(error, noun="row").reason)
        except ValueError as error:
            return BadRow(row.line, str(error))

    def _wanted(self, occurred_at: datetime) -> bool:
        since, until = self.options.since, self.options.until
        return (since is None or occurred_at >= since) and (until is None or occurred_at < until)

    def _time(self, row: Row) -> datetime:
        if "time" in self.columns:
            return read_time(self._value(row, "time"))
        return self.undated_from + timedelta(microseconds=row.line)

    def _article(self, row: Row, occurred_at: datetime) -> AnyEvent:
        body = self._text(row, "body") or self._text(row, "text")
        event_id = f"import-{self.identity}-{row.line}"
        article_id = str(self._value(row, "id")) if "id" in self.columns else event_id
        return Article(
            event_id=event_id,
            occurred_at=occurred_at,
            source="import",
            article_id=article_id,
            title=self._text(row, "title"),
            body=body,
        )

    def _label(self, row: Row, task: TaskSpec, occurred_at: datetime) -> AnyEvent:
        # The text column is the whole text; without one it is put together as an article's is.
        text = self._text(row, "text") or article_text(self._text(row, "title"), self._text(row, "body"))
        if not text.strip():
            message = "the text is empty"
            raise ValueError(message)
        label = Label(
            event_id=f"import-{self.identity}-{row.line}",
            occurred_at=occurred_at,
            source="import",
            task=task.name,
            article_id=str(self._value(row, "id")) if "id" in self.columns else None,
            text=text,
            target=self._target(row, task),
            origin=self.options.origin,
            anchor=self.options.anchor,
        )
        check_target(label, {task.name: task})
        return label

    def _target(self, row: Row, task: TaskSpec) -> dict[str, Any]:
        names = self.options.labels or {}
        if task.kind == "ner":
            spans = read_spans(self._value(row, "spans"))
            renamed = [{**span, "label": names.get(str(span["label"]), str(span["label"]))} for span in spans]
            return {"spans": [span for span in renamed if span["label"]]}
        label = read_label(self._value(row, "label"))
        if names.get(label, label) == "":
            message = f"label {label!r} is empty here, so the row is left out" if label else "the label is empty"
            raise ValueError(message)
        return {"label": names.get(label, label)}

    def _value(self, row: Row, field: str) -> Any:  # noqa: ANN401 - whatever the file holds
        value = row.values.get(self.columns[field])
        if value is None:
            message = f"column {self.columns[field]!r} ({field}) has no value"
            raise ValueError(message)
        return value

    def _text(self, row: Row, field: str) -> str:
        value = row.values.get(self.columns[field]) if field in self.columns else None
        # Never stripped: spans count from the first character.
        return "" if value is None else str(value)


def _reader(file: ImportFile, format_: Format, *, header: bool) -> Iterator[AnyRow]:
    if format_ == "csv":
        return csv.read(file, header=header)
    return {"jsonl": jsonl.read, "parquet": parquet.read, "conll": conll.read}[format_](file)


def _require(columns: Mapping[str, str], names: list[str], task: TaskSpec | None, options: ImportOptions) -> None:
    """Refuse a file that lacks a column the events need."""
    if not names:
        return
    missing = [] if columns.keys() & {"text", "title", "body"} else ["text (or title and body)"]
    if task is not None:
        answer = "spans" if task.kind == "ner" else "label"
        missing += [] if answer in columns else [answer]
    if (options.since or options.until) and "time" not in columns:
        missing.append("time (since and until need one)")
    if missing:
        message = f"say which column holds {' and '.join(missing)}; the file's columns are {', '.join(map(repr, names))}"
        raise UserError(message)


def _identity(path: Path, task: TaskSpec | None, mapping: ColumnMapping, options: ImportOptions) -> str:
    """Return a digest of everything that decides what a row becomes: the same row read otherwise is another event."""
    meaning = replace(options, since=None, until=None, limit=None)
    parts = [sha256_of_file(path), task.name if task else "", asdict(mapping), asdict(meaning)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _file_time(path: Path, clock: Clock) -> datetime:
    """Return the time that undated rows start from; the file's own, so that a second import gives the very same events."""
    written = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
    return min(written, clock())
