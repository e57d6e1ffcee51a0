"""Which labels whoever gave a target knew: of a label outside its scope, a target's silence says nothing.

A person who marks people and places in 2024 says nothing of the politicians that somebody asks for in 2025. What the annotators
of a row knew is, in this order: what its target tells (`types` of an entity target); for a row of an import of 200 rows or more
the labels of that import, because a corpus follows one guideline; for a row of a closed task the labels that the task file
accepted when it came; else the labels that rows of its task had carried by the end of that day (UTC).
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Protocol

from config.kinds import catalog as kinds
from config.kinds.kind import KnowsScope

_IMPORTED = re.compile(r"(import-.+)-\d+")
"""Ids of imported rows (consumers/formats): the import, and the number of the row."""

_CORPUS_ROWS = 200
"""An import of fewer rows may lack a label by chance."""

Scope = tuple[str, ...] | None


class Given(Protocol):
    """What is looked at of a row."""

    @property
    def example_id(self) -> str:
        """Its id."""
        ...

    @property
    def event_time(self) -> datetime:
        """When it was given."""
        ...

    @property
    def target(self) -> str:
        """Its target as JSON, under the names in force."""
        ...

    @property
    def accepted_labels(self) -> str | None:
        """The labels that its closed task accepted when it came, as JSON; None: not known."""
        ...


@lru_cache(maxsize=10_000)
def labels_of(target: str) -> frozenset[str]:
    """Return the labels a target (JSON) carries."""
    parsed = json.loads(target)
    return frozenset(kinds.of(parsed).labels(parsed))


def of(rows: Iterable[Given], renames: Mapping[str, str]) -> dict[str, Scope]:
    """Return the scope of each row of a task, by example id, sorted; None where the row itself leaves nothing to know.

    `rows` are all that count, of every role; `renames` the old names and those in force.
    """
    every = list(rows)
    of_import: dict[str, set[str]] = defaultdict(set)
    rows_of_import = Counter(name for row in every if (name := _import(row)) is not None)
    by_day: dict[date, set[str]] = defaultdict(set)
    for row in every:
        carried = labels_of(row.target)
        by_day[_day(row)] |= carried
        if (name := _import(row)) is not None:
            of_import[name] |= carried
    corpora = {name: labels for name, labels in of_import.items() if rows_of_import[name] >= _CORPUS_ROWS}
    known: set[str] = set()
    by_then: dict[date, frozenset[str]] = {}
    for day in sorted(by_day):
        known |= by_day[day]
        by_then[day] = frozenset(known)
    return {row.example_id: _scope(row, corpora, by_then, renames) for row in every}


def _scope(
    row: Given, corpora: Mapping[str, set[str]], by_then: Mapping[date, frozenset[str]], renames: Mapping[str, str]
) -> Scope:
    told = _told(row.target)
    if told is not None:
        return tuple(sorted(told))
    if (labels := corpora.get(_import(row) or "")) is not None:
        return tuple(sorted(labels))
    if row.accepted_labels is not None:
        accepted = {renames.get(label, label) for label in json.loads(row.accepted_labels)}
        return tuple(sorted(accepted | labels_of(row.target)))
    return tuple(sorted(by_then[_day(row)]))


def _told(target: str) -> Iterable[str] | None:
    parsed = json.loads(target)
    kind = kinds.of(parsed)
    return kind.scope(parsed) if isinstance(kind, KnowsScope) else None


def _import(row: Given) -> str | None:
    found = _IMPORTED.fullmatch(row.example_id)
    return found[1] if found else None


def _day(row: Given) -> date:
    return row.event_time.astimezone(UTC).date()
