"""From a file to events: the same file gives the same events, so that importing twice changes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from config.clock import Clock, utc_now
from config.errors import UserError
from config.kinds import catalog as kinds
from config.kinds.signals.categories import TAG_COLUMN
from config.tasks import TaskSpec
from consumers.events.schemas import AnyEvent
from consumers.formats.files.source import Format, Source, identify
from consumers.formats.layouts.label_studio import is_task
from consumers.formats.layouts.recognise import Layout, flat, recognise
from consumers.formats.layouts.survey import Survey, survey
from consumers.formats.mapping import SIDE, ColumnMapping
from consumers.formats.options import ImportOptions
from consumers.formats.rows import AnyRow, BadRow, Findings, LeftOut, Row
from consumers.formats.spans import SpanReader
from consumers.formats.writing import EventWriter
from consumers.formats.written.columns import ARTICLE, EXAMPLE

_READING = 4
"""Grows when files are read otherwise than before: a file imported again then gives other events."""
_NAMES_DOCUMENTS: frozenset[Format] = frozenset({"conll", "brat"})
_SHOWN_COLUMNS = 8
_MAY_BE_DECIMALS = ("label", "id", "group")


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
    _writer: EventWriter
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
    mapping = (mapping or ColumnMapping()).for_answer(kinds.get(task.kind).columns if task else ())
    names = chosen.labels or {}
    source = identify(path, chosen.reading, names)
    tasks = _Counted()
    seen = survey(flat(tasks.rows(source.rows())))
    if mapping == ColumnMapping() and {"type", "event_id"} <= seen.fields.keys():
        message = (
            "these rows already look like events (they have 'type' and 'event_id'); importing would turn them into other events. "
            "Post them to /v1/feedback or publish them to Kafka; to import them anyway, name their columns (--text text)"
        )
        raise UserError(message)
    layout = _exported(_layout(source, seen, task, chosen, mapping, studio=tasks.found > 0), seen)
    answer = (*kinds.get(task.kind).columns, *_declared(task), *_tag_columns(task)) if task else None
    if task is None:
        mapping = mapping.for_articles(list(seen.fields), layout.columns)
    columns = mapping.resolve([*seen.fields, *layout.columns.values()], layout.columns, answer) if seen.fields else {}
    _require(columns, list(seen.fields), task, chosen)
    digest = source.digest()
    identity = _identity(digest, task, mapping, chosen)
    spans = SpanReader(names, chosen.nested, Findings())
    documents = f"import-{digest[:16]}" if source.format in _NAMES_DOCUMENTS and "group" not in columns else None
    # A table of text has no types: elsewhere "123.0" is a text of its own.
    untyped = _MAY_BE_DECIMALS if source.format == "csv" else ()
    decimals = frozenset(columns[field] for field in untyped if field in columns and seen.decimals(columns[field]))
    writer = EventWriter(
        task, columns, chosen, identity, _file_time(source, clock), clock() + future_tolerance, spans, documents, decimals
    )
    if "spans" in columns and layout.tags is None and source.format not in _NAMES_DOCUMENTS:
        for row in layout.rows(flat(source.rows())):
            if isinstance(row, Row):
                writer.look_at(row)
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


def _exported(layout: Layout, seen: Survey) -> Layout:
    """Return a layout that also finds what `perennial data export` writes beside each text."""
    if not all(seen.has(name, "text") for name in (SIDE, EXAMPLE, "origin")):
        return layout
    own = {SIDE: SIDE, **({"id": ARTICLE} if seen.has(ARTICLE, "text") else {})}
    return replace(layout, name=layout.name or "Perennial", columns={**own, **layout.columns})


def _said(source: Source, layout: Layout, columns: Mapping[str, str], seen: Survey) -> tuple[str, ...]:
    said = [f"layout: {layout.name}"] if layout.name else []
    said += [layout.tags.said()] if layout.tags is not None else []
    if source.format not in _NAMES_DOCUMENTS and columns:
        used = ", ".join(f"{field} in {column!r}" if field != column else repr(column) for field, column in columns.items())
        unread = [name for name in seen.fields if name not in columns.values()] if layout.name is None else []
        more = ", ..." if len(unread) > _SHOWN_COLUMNS else ""
        said.append(f"columns: {used}" + (f"; not read: {', '.join(map(repr, unread[:_SHOWN_COLUMNS]))}{more}" if unread else ""))
    return (*source.said, *said)


def _require(columns: Mapping[str, str], names: list[str], task: TaskSpec | None, options: ImportOptions) -> None:
    """Refuse a file that lacks a column the events need."""
    if not names:
        return
    missed = [] if columns.keys() & {"text", "title", "body"} else ["text (or title and body)"]
    if task is not None:
        missed += _missed(task, columns)
    if (options.since or options.until) and "time" not in columns:
        missed.append("time (since and until need one)")
    if missed:
        message = f"name the column of {' and '.join(missed)}; the file's columns are {', '.join(map(repr, names))}"
        raise UserError(message)


def _missed(task: TaskSpec, columns: Mapping[str, str]) -> list[str]:
    """Return the fields of a target that have no column; of what a task declares one, or an object of all, suffices."""
    fields, declared = kinds.get(task.kind).columns, _declared(task)
    if declared:
        if columns.keys() & {*fields, *declared}:
            return []
        what = "a dimension" if task.dimensions else "the score of a category"
        return [f"{what} ({', '.join(declared)}; or of {fields[0]}, an object of them)"]
    return [field for field in fields if field not in columns]


def _declared(task: TaskSpec) -> tuple[str, ...]:
    return tuple(one.name for one in task.declared)


def _tag_columns(task: TaskSpec) -> tuple[str, ...]:
    return tuple(f"{category.name}{TAG_COLUMN}" for category in task.signals)


def _identity(digest: str, task: TaskSpec | None, mapping: ColumnMapping, options: ImportOptions) -> str:
    """Return a digest of everything that decides what a row becomes: the same row read otherwise is another event."""
    meaning = replace(options, since=None, until=None, limit=None)
    said = asdict(meaning)
    del said["source"]
    if meaning.splits is None:
        del said["splits"]  # added by a later version: files that were imported before must stay known
    parts = [_READING, digest, task.name if task else "", dict(mapping.meaning), said]
    if task and task.declared:
        parts.append(_declared(task))
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _file_time(source: Source, clock: Clock) -> datetime:
    """Return the time that undated rows start from; the file's own, so that a second import gives the very same events."""
    written = datetime.fromtimestamp(max(path.stat().st_mtime for path in source.files), tz=UTC)
    return min(written, clock())
