"""From a file to events: the same file gives the same events, so that importing twice changes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from config.clock import Clock, utc_now
from config.errors import DeadLetterError, UserError
from config.foreign.times import read_time
from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from consumers.events.errors import explain
from consumers.events.schemas import AnyEvent, Article, Label, article_text
from consumers.events.targets import read_target
from consumers.formats.files.source import Format, Reading, Source, identify
from consumers.formats.layouts.label_studio import is_task
from consumers.formats.layouts.recognise import PARTIAL, Layout, flat, recognise
from consumers.formats.layouts.survey import Survey, survey
from consumers.formats.mapping import ColumnMapping
from consumers.formats.rows import AnyRow, BadRow, Findings, LeftOut, Row, Unreadable
from consumers.formats.spans import Nesting, SpanReader
from consumers.formats.values import blank, is_whole_decimal, missing, read_id, read_label, read_number, read_text
from consumers.text.markup import plain

_Value = TypeVar("_Value")
_READING = 3
"""Grows when files are read otherwise than before: a file imported again then gives other events."""
_NAMES_DOCUMENTS: frozenset[Format] = frozenset({"conll", "brat"})
_SHOWN_COLUMNS = 8


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
    delimiter: str | None = None
    encoding: str | None = None
    columns: tuple[str, ...] | None = None
    """Where tokens and tags (and sentences) stand: numbers in CoNLL, else names."""
    nested: Nesting = "outermost"

    @property
    def reading(self) -> Reading:
        """Return the part that says how the file itself is read."""
        return Reading(self.format, self.header, self.delimiter, self.encoding, self.columns)


@dataclass(frozen=True, slots=True)
class Import:
    """A file that was looked at, all of it: what was recognised, and the events that its rows give."""

    source: Source
    layout: Layout
    identity: str
    """Event ids are `import-IDENTITY-LINE`."""
    rows: int
    """How many rows, or sentences, could be read."""
    said: tuple[str, ...]
    """What was recognised, one thing each."""
    _writer: _Writer
    _limit: int | None

    @property
    def findings(self) -> Findings:
        """Return what was noticed in the rows that were read so far."""
        return self._writer.spans.findings

    def events(self, progress: Callable[[float], None] | None = None) -> Iterator[AnyEvent | BadRow | LeftOut]:
        """Yield the event of each row, the same ones every time; a row that gives none is a `BadRow` or `LeftOut`.

        `progress` hears how much of the file is read, 0..1. Raises `UserError` when the file is damaged.
        """
        self.findings.clear()
        given = 0
        for row in self.layout.rows(flat(self.source.rows(progress))):
            if self._limit is not None and given >= self._limit:
                return
            event = self._writer.event(row) if isinstance(row, Row) else row
            if event is None:
                continue
            given += not isinstance(event, BadRow | LeftOut)
            yield event


def import_events(
    path: Path,
    task: TaskSpec | None,
    mapping: ColumnMapping | None = None,
    *,
    options: ImportOptions | None = None,
    clock: Clock = utc_now,
    progress: Callable[[float], None] | None = None,
) -> Iterator[AnyEvent | BadRow | LeftOut]:
    """Yield the events of a file; see `plan` and `Import.events`."""
    yield from plan(path, task, mapping, options=options, clock=clock).events(progress)


def plan(
    path: Path,
    task: TaskSpec | None,
    mapping: ColumnMapping | None = None,
    *,
    options: ImportOptions | None = None,
    clock: Clock = utc_now,
    future_tolerance: timedelta = timedelta(minutes=5),
) -> Import:
    """Look at the whole of a file and say what becomes of it: one label event per row for `task`, or one article without one.

    A row without a time takes import order: the file's own time (never ahead of `clock`) plus a microsecond per line; one that is
    ahead by more than `future_tolerance` is refused, as it would be where events arrive. Raises `UserError` when the file cannot
    be read, when a column is missing, naming those that exist, or when it holds events.
    """
    chosen = options or ImportOptions()
    mapping = mapping or ColumnMapping()
    names = chosen.labels or {}
    source = identify(path, chosen.reading, names)
    tasks = _Counted()
    seen = survey(flat(tasks.rows(source.rows())))
    if mapping == ColumnMapping() and {"type", "event_id"} <= seen.fields.keys():
        message = (
            "these rows look like events already (they have 'type' and 'event_id'); importing would make other events of them. "
            "Post them to /v1/feedback or publish them to Kafka; to import them all the same, name their columns (--text text)"
        )
        raise UserError(message)
    layout = _layout(source, seen, task, chosen, mapping, studio=tasks.found > 0)
    answer = kinds.get(task.kind).columns if task else None
    columns = mapping.resolve([*seen.fields, *layout.columns.values()], layout.columns, answer) if seen.fields else {}
    _require(columns, list(seen.fields), task, chosen)
    digest = source.digest()
    identity = _identity(digest, task, mapping, chosen)
    spans = SpanReader(names, chosen.nested, Findings())
    documents = f"import-{digest[:16]}" if source.format in _NAMES_DOCUMENTS and "group" not in columns else None
    # A table of text has no types: elsewhere "123.0" is a text of its own.
    untyped = _MAY_BE_DECIMALS if source.format == "csv" else ()
    decimals = frozenset(columns[field] for field in untyped if field in columns and seen.decimals(columns[field]))
    writer = _Writer(
        task, columns, chosen, identity, _file_time(path, clock), clock() + future_tolerance, spans, documents, decimals
    )
    rows = seen.rows if layout.tags is None else sum(1 for _ in layout.rows(flat(source.rows())))
    said = [f"column {column!r}: whole numbers written with a decimal point, read without it" for column in sorted(decimals)]
    return Import(source, layout, identity, rows, (*_said(source, layout, columns, seen), *said), writer, chosen.limit)


@dataclass(slots=True)
class _Counted:
    """Counts Label Studio's tasks on their way."""

    found: int = 0

    def rows(self, rows: Iterator[AnyRow]) -> Iterator[AnyRow]:
        for row in rows:
            self.found += isinstance(row, Row) and is_task(row.values)
            yield row


def _layout(
    source: Source, seen: Survey, task: TaskSpec | None, options: ImportOptions, mapping: ColumnMapping, *, studio: bool
) -> Layout:
    if source.format in _NAMES_DOCUMENTS:
        return Layout()
    fields = kinds.get(task.kind).columns if task else ()
    return recognise(seen, fields, chosen=options.columns, names=options.labels or {}, given=mapping.given, tasks=studio)


def _said(source: Source, layout: Layout, columns: Mapping[str, str], seen: Survey) -> tuple[str, ...]:
    said = [f"layout: {layout.name}"] if layout.name else []
    said += [layout.tags.said()] if layout.tags is not None else []
    if source.format not in _NAMES_DOCUMENTS and columns:
        used = ", ".join(f"{field} in {column!r}" if field != column else repr(column) for field, column in columns.items())
        unread = [name for name in seen.fields if name not in columns.values()] if layout.name is None else []
        more = ", ..." if len(unread) > _SHOWN_COLUMNS else ""
        said.append(f"columns: {used}" + (f"; not read: {', '.join(map(repr, unread[:_SHOWN_COLUMNS]))}{more}" if unread else ""))
    return (*source.said, *said)


@dataclass(frozen=True, slots=True)
class _Writer:
    """Turns rows of one file into events."""

    task: TaskSpec | None
    columns: Mapping[str, str]
    options: ImportOptions
    identity: str
    undated_from: datetime
    latest: datetime
    """Events of later times are refused when they arrive."""
    spans: SpanReader
    documents: str | None
    """What the ids of documents begin with where the file names them itself."""
    decimals: frozenset[str]
    """Columns in which 123.0 is 123."""

    def event(self, row: Row) -> AnyEvent | BadRow | LeftOut | None:
        """Return the row's event, None when it lies outside the times asked for."""
        try:
            occurred_at = self._time(row)
            if not self._wanted(occurred_at):
                return None
            self._refuse_ahead(occurred_at)
            return self._label(row, self.task, occurred_at) if self.task else self._article(row, occurred_at)
        except DeadLetterError as error:
            return BadRow(row.line, error.reason)
        except ValidationError as error:
            return BadRow(row.line, explain(error, noun="row").reason)
        except ValueError as error:
            return BadRow(row.line, str(error))

    def _refuse_ahead(self, moment: datetime) -> None:
        if moment > self.latest:
            message = (
                f"the time {moment.isoformat()} is ahead of this machine's clock; give the time it happened, and check the clock"
            )
            raise ValueError(message)

    def _wanted(self, occurred_at: datetime) -> bool:
        since, until = self.options.since, self.options.until
        return (since is None or occurred_at >= since) and (until is None or occurred_at < until)

    def _time(self, row: Row) -> datetime:
        if "time" in self.columns:
            return self.read(row, "time", read_time)
        return self.undated_from + timedelta(microseconds=row.line)

    def _article(self, row: Row, occurred_at: datetime) -> AnyEvent:
        body = self._text(row, "body") or self._text(row, "text")
        title = self._text(row, "title")
        _refuse_blank(title + body)
        event_id = f"import-{self.identity}-{row.line}"
        return Article(
            event_id=event_id, occurred_at=occurred_at, source="import", article_id=self._id(row, "id") or event_id, title=title,
            body=body,
        )  # fmt: skip

    def _label(self, row: Row, task: TaskSpec, occurred_at: datetime) -> AnyEvent | LeftOut:
        # The text column is the whole text; without one it is put together as an article's is.
        whole, title, body = (self._text(row, name) for name in ("text", "title", "body"))
        kind = kinds.get(task.kind)
        if not kind.positional:  # offsets count what the file holds
            whole, title, body = plain(whole), plain(title), plain(body)
        text = whole or article_text(title, body)
        _refuse_blank(text)
        target = kind.from_row(_Values(self, row, text))
        if target is None:
            return LeftOut(row.line, "rows whose label --label-map leaves out")
        label = Label(
            event_id=f"import-{self.identity}-{row.line}", occurred_at=occurred_at, source="import", task=task.name,
            article_id=self._id(row, "id"), document_id=self._document(row), text=text, target=target,
            origin=self.options.origin, anchor=self.options.anchor,
        )  # fmt: skip
        read_target(task, target, text)
        return label

    def _document(self, row: Row) -> str | None:
        if self.documents is None:
            return self._id(row, "group")
        name = row.values.get("document")
        return f"{self.documents}-{name}" if name is not None else None

    def _id(self, row: Row, name: str) -> str | None:
        return self.read(row, name, read_id) if name in self.columns else None

    def _text(self, row: Row, name: str) -> str:
        return self.read(row, name, read_text) if name in self.columns else ""

    def read(self, row: Row, name: str, reader: Callable[[Any], _Value]) -> _Value:
        """Return what `reader` makes of the value in field `name`. Raises `ValueError` naming the column."""
        column = self.columns[name]
        value = row.values.get(column)
        if missing(value) and name not in _MAY_BE_MISSING:
            message = f"column {column!r} ({name}) {'is empty' if value == '' else 'has no value' if value is None else 'is NaN'}"
            raise ValueError(message)
        if column in self.decimals and isinstance(value, str) and is_whole_decimal(value):
            value = value.strip().partition(".")[0]
        try:
            if isinstance(value, Unreadable):
                raise ValueError(value.reason)  # noqa: TRY301, TRY004 - one type for whatever a file may hold
            return reader(value)
        except ValueError as error:
            message = f"column {column!r} ({name}): {error}"
            raise ValueError(message) from None


_MAY_BE_MISSING = frozenset({"text", "title", "body", "id", "group"})
_MAY_BE_DECIMALS = ("label", "id", "group")


@dataclass(frozen=True, slots=True)
class _Values:
    """One row as its task's kind reads it (`config.kinds.kind.RowValues`)."""

    writer: _Writer
    row: Row
    text: str

    @property
    def partial(self) -> bool:
        """Whether the row says that it does not tell everything of its text."""
        return self.row.values.get(PARTIAL) is True

    def label(self, field: str) -> str:
        """Return the label, as the label map calls it."""
        return self.writer.read(self.row, field, lambda value: read_label(value, self.writer.options.labels))

    def spans(self, field: str) -> list[dict[str, Any]]:
        """Return the spans, in order."""
        return self.writer.read(self.row, field, lambda value: self.writer.spans.read(value, self.text, self.row.line))

    def number(self, field: str) -> float:
        """Return the number."""
        return self.writer.read(self.row, field, read_number)


def _refuse_blank(text: str) -> None:
    if blank(text):
        message = "the text is empty" if not text.strip() else "the text shows nothing: it has invisible characters only"
        raise ValueError(message)


def _require(columns: Mapping[str, str], names: list[str], task: TaskSpec | None, options: ImportOptions) -> None:
    """Refuse a file that lacks a column the events need."""
    if not names:
        return
    missed = [] if columns.keys() & {"text", "title", "body"} else ["text (or title and body)"]
    if task is not None:
        missed += [field for field in kinds.get(task.kind).columns if field not in columns]
    if (options.since or options.until) and "time" not in columns:
        missed.append("time (since and until need one)")
    if missed:
        message = f"say which column holds {' and '.join(missed)}; the file's columns are {', '.join(map(repr, names))}"
        raise UserError(message)


def _identity(digest: str, task: TaskSpec | None, mapping: ColumnMapping, options: ImportOptions) -> str:
    """Return a digest of everything that decides what a row becomes: the same row read otherwise is another event."""
    meaning = replace(options, since=None, until=None, limit=None)
    parts = [_READING, digest, task.name if task else "", dict(mapping.meaning), asdict(meaning)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _file_time(path: Path, clock: Clock) -> datetime:
    """Return the time that undated rows start from; the file's own, so that a second import gives the very same events."""
    written = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
    return min(written, clock())
