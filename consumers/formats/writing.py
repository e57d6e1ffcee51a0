"""From one row of a file to one event, or to the reason why it gives none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import ValidationError

from config.errors import DeadLetterError
from config.foreign.times import read_time
from config.kinds import catalog as kinds
from config.kinds.signals.categories import TAG_COLUMN
from config.tasks import TaskSpec
from consumers.events.errors import explain
from consumers.events.schemas import AnyEvent, Article, Label, article_text
from consumers.events.targets import read_target
from consumers.formats.layouts.recognise import PARTIAL
from consumers.formats.mapping import SIDE, TYPES
from consumers.formats.numbers import number_or_none, read_numbers
from consumers.formats.options import ImportOptions
from consumers.formats.rows import BadRow, LeftOut, Row, Unreadable
from consumers.formats.signals import read_signals, signal_of, tag_or_none
from consumers.formats.spans import SpanReader
from consumers.formats.values import blank, is_whole_decimal, missing, read_id, read_label, read_labels, read_number, read_text
from consumers.text.markup import plain

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class EventWriter:
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
        kind = kinds.get(task.kind)
        # Offsets count what the file holds; exported texts are plain.
        text = self._whole_text(row, as_it_stands=kind.positional or SIDE in self.columns)
        _refuse_blank(text)
        if task.prefilter is not None and (why := task.prefilter.reason(text)) is not None:
            return LeftOut(row.line, f"texts that the prefilter leaves out ({why})")
        target = kind.from_row(_Values(self, row, text))
        if target is None:
            return LeftOut(row.line, "rows with a label that --label-map drops")
        label = Label(
            event_id=f"import-{self.identity}-{row.line}", occurred_at=occurred_at, source=self.options.source, task=task.name,
            article_id=self._id(row, "id"), document_id=self._document(row), text=text, target=target,
            origin=self.options.origin, anchor=self.options.anchor or self._was_anchor(row),
        )  # fmt: skip
        read_target(task, target, text)
        return label

    def _whole_text(self, row: Row, *, as_it_stands: bool) -> str:
        # The text column is the whole text; without one it is put together as an article's is.
        whole, title, body = (self._text(row, name) for name in ("text", "title", "body"))
        if not as_it_stands:
            whole, title, body = plain(whole), plain(title), plain(body)
        return whole or article_text(title, body)

    def look_at(self, row: Row) -> None:
        """Note what the offsets of a row's spans count, if it has any: rows that do not show it count as others of the file."""
        # A row that cannot be read shows nothing; why is said when it is its turn.
        with contextlib.suppress(ValueError):
            self.spans.look_at(row.values.get(self.columns["spans"]), self._whole_text(row, as_it_stands=True))

    def _document(self, row: Row) -> str | None:
        if self.documents is None:
            return self._id(row, "group")
        name = row.values.get("document")
        return f"{self.documents}-{name}" if name is not None else None

    def _was_anchor(self, row: Row) -> bool:
        return SIDE in self.columns and row.values.get(self.columns[SIDE]) == "anchor"

    def _id(self, row: Row, name: str) -> str | None:
        return self.read(row, name, read_id) if name in self.columns else None

    def _text(self, row: Row, name: str) -> str:
        return self.read(row, name, read_text) if name in self.columns else ""

    def read(self, row: Row, name: str, reader: Callable[[Any], _Value], *, may_be_missing: bool = False) -> _Value:
        """Return what `reader` makes of the value in field `name`. Raises `ValueError` naming the column."""
        column = self.columns[name]
        value = row.values.get(column)
        if missing(value) and name not in _MAY_BE_MISSING and not may_be_missing:
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


@dataclass(frozen=True, slots=True)
class _Values:
    """One row as its task's kind reads it (`config.kinds.kind.RowValues`)."""

    writer: EventWriter
    row: Row
    text: str

    @property
    def partial(self) -> bool:
        """Whether the row says that it is only a partial answer about its text."""
        return self.row.values.get(PARTIAL) is True

    @property
    def types(self) -> list[str] | None:
        """The labels that whoever gave the answer knew, where the row tells; None where it does not."""
        types = self.row.values.get(TYPES) if SIDE in self.writer.columns else None
        return None if missing(types) else read_labels(types, self.writer.options.labels)

    def label(self, field: str) -> str:
        """Return the label, as the label map calls it."""
        return self.writer.read(self.row, field, lambda value: read_label(value, self.writer.options.labels))

    def labels(self, field: str) -> list[str]:
        """Return the labels, as the label map calls them."""
        return self.writer.read(self.row, field, lambda value: read_labels(value, self.writer.options.labels))

    def spans(self, field: str) -> list[dict[str, Any]]:
        """Return the spans, in order."""
        return self.writer.read(self.row, field, lambda value: self.writer.spans.read(value, self.text, self.row.line))

    def number(self, field: str) -> float:
        """Return the number."""
        return self.writer.read(self.row, field, read_number)

    def numbers(self, field: str) -> Mapping[str, float | None]:
        """Return the number of each of the task's dimensions; None where it is missing. Raises `ValueError` where all are."""
        names = [dimension.name for dimension in self.writer.task.dimensions] if self.writer.task else []
        if field in self.writer.columns:
            found = self.writer.read(self.row, field, lambda value: read_numbers(value, names))
        else:
            here = [name for name in names if name in self.writer.columns]
            found = {name: self.writer.read(self.row, name, number_or_none, may_be_missing=True) for name in here}
        if all(value is None for value in found.values()):
            message = f"none of the dimensions {', '.join(names)} has a number"
            raise ValueError(message)
        return found

    def signals(self, field: str) -> Mapping[str, Mapping[str, Any] | None]:
        """Return what the row says of each of the task's categories; None: nothing. Raises `ValueError` where all are None."""
        columns = self.writer.columns
        names = [category.name for category in self.writer.task.signals] if self.writer.task else []
        if field in columns:
            found = self.writer.read(self.row, field, lambda value: read_signals(value, names))
        else:
            found = {name: self._signal(name) for name in names if {name, f"{name}{TAG_COLUMN}"} & columns.keys()}
        if all(said is None for said in found.values()):
            message = f"nothing is said of any of the categories {', '.join(names)}"
            raise ValueError(message)
        return found

    def _signal(self, name: str) -> Mapping[str, Any] | None:
        both = [
            self.writer.read(self.row, column, reader, may_be_missing=True) if column in self.writer.columns else None
            for column, reader in ((name, number_or_none), (f"{name}{TAG_COLUMN}", tag_or_none))
        ]
        return signal_of(name, *both)


def _refuse_blank(text: str) -> None:
    if blank(text):
        message = "the text is empty" if not text.strip() else "the text has only invisible characters"
        raise ValueError(message)
