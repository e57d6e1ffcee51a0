"""What a file of labelled texts seems to hold: which kind of task, in which columns."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from config.errors import UserError
from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from consumers.events.schemas import Label
from consumers.formats.files.source import Reading, identify
from consumers.formats.importing import plan
from consumers.formats.layouts.recognise import flat
from consumers.formats.layouts.survey import Field, Survey, survey
from consumers.formats.mapping import ColumnMapping
from consumers.formats.rows import AnyRow, LeftOut, Row
from consumers.formats.values import missing
from daemon.operations.defining.writing import measures

_ROWS = 1_000
_TEXT_NAMES = ("text", "body", "content", "article", "headline", "title", "sentence", "description")
_LABEL_NAMES = ("label", "labels", "category", "categories", "topic", "topics", "tags", "tag", "class", "section")
_TIME_NAMES = ("time", "date", "published", "published_at", "pubdate", "timestamp", "datetime", "created_at", "occurred_at")
_NUMBER_NAMES_LEFT_OUT = ("id", "index", "year", "date", "time", "timestamp", "start", "end")
_NO_LABELS = ("split", "source", "source_type", "language", "lang", "author", "publisher", "url", "link", "id", "date", "time")
_SHOWN_COLUMNS = 8
_MOST_LABELS = 500
_LEAST_READ = 0.5
"""A kind is proposed where at least this share of the rows can be read as its rows."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a file seems to hold."""

    kind: str
    rows: int
    """Rows looked at that give an example."""
    of: int
    """Rows looked at."""
    mapping: ColumnMapping
    """Columns that must be named; those that are found by their own names are not."""
    labels: Mapping[str, int]
    """Label -> how many of the rows carry it, the most frequent first."""

    @property
    def options(self) -> list[str]:
        """What `perennial import` must be told of the columns."""
        named = {"text": self.mapping.text, "label": self.mapping.label, "time": self.mapping.time}
        return [part for name, column in named.items() if column is not None for part in (f"--{name}", column)]


def numbers_of(path: Path) -> Mapping[str, tuple[float, float]]:
    """Return the smallest and largest number of each column of a file that holds numbers alone. Raises `UserError`."""
    source = identify(path, Reading())
    return _numbers(survey(flat(islice(source.rows(), _ROWS))), source.rows())


def look(path: Path, drafts: Mapping[str, TaskSpec], kind: str | None = None) -> Found:
    """Return what a file seems to hold, by its first rows; `drafts` holds a task of each kind to try, `kind` names the only one.

    Raises `UserError` where the file cannot be read, or holds examples of no kind.
    """
    source = identify(path, Reading())
    seen = survey(flat(islice(source.rows(), _ROWS)))
    best: Found | None = None
    measured = any(measures(name) for name in drafts)
    for name, draft in drafts.items():
        if kind not in (None, name):
            continue
        for mapping in _mappings(seen, kinds.get(name).columns, measured=measured):
            try:
                found = _read(path, name, draft, mapping)
            except UserError:
                continue
            if found.rows >= max(1.0, _LEAST_READ * found.of) and (best is None or found.rows > best.rows):
                best = found
    if best is None:
        names = list(seen.fields)
        columns = ", ".join(map(repr, names[:_SHOWN_COLUMNS])) + (", ..." if len(names) > _SHOWN_COLUMNS else "")
        message = (
            f"{path} holds no rows that can be read as examples of {' or '.join([kind] if kind else drafts)}; its columns are "
            f"{columns or 'none'}. Give --kind, or leave the file out; `perennial import` can be told what each column holds"
        )
        raise UserError(message)
    return _dated(path, drafts[best.kind], best, seen)


def _dated(path: Path, draft: TaskSpec, found: Found, seen: Survey) -> Found:
    """Return what was found with the column of the event time, where there is one that can be read."""
    column = next((name for wanted in _TIME_NAMES for name in seen.fields if name.lower() == wanted), None)
    if column is None or column == "time":
        return found
    try:
        dated = _read(path, found.kind, draft, replace(found.mapping, time=column))
    except UserError:
        return found
    return dated if dated.rows == found.rows else found


def _read(path: Path, kind: str, draft: TaskSpec, mapping: ColumnMapping) -> Found:
    rows = of = 0
    labels: Counter[str] = Counter()
    for event in islice(plan(path, draft, mapping).events(), _ROWS):
        if isinstance(event, LeftOut):
            continue
        of += 1
        if isinstance(event, Label):
            rows += 1
            labels.update(set(kinds.get(kind).labels(event.target)))
    return Found(kind, rows, of, mapping, dict(labels.most_common()))


def _mappings(seen: Survey, columns: Sequence[str], *, measured: bool) -> Iterator[ColumnMapping]:
    """Yield what the columns may mean, the likeliest first: as they are called, then by what they hold."""
    yield ColumnMapping()
    text = None if seen.has("text") else _text_column(seen)
    if "label" in columns or "labels" in columns:
        own = "labels" if "labels" in columns else "label"
        label = None if seen.has(own) else _label_column(seen, lists=own == "labels", named_only=measured)
        if text or label:
            yield ColumnMapping(text=text, label=label)
    elif text:
        yield ColumnMapping(text=text)


def _text_column(seen: Survey) -> str | None:
    texts = {name: field for name, field in seen.fields.items() if field.only("text") and not _all_numbers(field)}
    named = [name for wanted in _TEXT_NAMES for name in texts if name.lower() == wanted]
    # Else what is longest; texts that are too long to be kept come before all others.
    others = sorted(texts.keys() - {*_NO_LABELS}, key=lambda name: (texts[name].few, -_mean_length(texts[name]), name))
    return next(iter([*named, *others]), None)


def _all_numbers(field: Field) -> bool:
    return field.few and all(_number(value) is not None for value in field.values)


def _mean_length(field: Field) -> float:
    return sum(len(value) * count for value, count in field.values.items()) / max(1, sum(field.values.values()))


def _label_column(seen: Survey, *, lists: bool, named_only: bool) -> str | None:
    """Return the column of labels: by its name, else what has the fewest texts, unless there are numbers to learn."""

    def fits(field: Field) -> bool:
        if lists and field.lists:
            return True
        return field.only("text") and field.few and 1 < len(field.values) <= min(_MOST_LABELS, max(2, seen.rows // 2))

    fitting = [name for name, field in seen.fields.items() if name.lower() not in _NO_LABELS and fits(field)]
    named = [name for wanted in _LABEL_NAMES for name in fitting if name.lower() == wanted]
    others = [] if named_only else sorted(fitting, key=lambda name: len(seen.fields[name].values))
    return next(iter([*named, *others]), None)


def _numbers(seen: Survey, rows: Iterator[AnyRow]) -> Mapping[str, tuple[float, float]]:
    """Return the smallest and largest number of each column that holds nothing else."""
    found: dict[str, list[float]] = {name: [] for name in seen.fields if name.lower() not in _NUMBER_NAMES_LEFT_OUT}
    for row in islice(flat(rows), _ROWS):
        if not isinstance(row, Row):
            continue
        for name in [name for name in found if not missing(row.values.get(name))]:
            number = _number(row.values[name])
            if number is None:
                del found[name]
            else:
                found[name].append(number)
    return {name: (min(held), max(held)) for name, held in found.items() if len(held) > 1}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
