"""Imports as the tables hold them: which there are, and taking one back."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from consumers.rows.labels.unlabelled import id_of
from consumers.tables.columns import KEYS, quoted
from consumers.tables.lance import Snapshot
from consumers.tables.upkeep import Upkeep

READ = ("examples", "feedback", "articles", "example_enrichment", "article_enrichment")
_ID = re.compile(r"import-([0-9a-f]{16})-\d+")
_OF_EVENTS = {"examples": "row_id", "feedback": "event_id", "articles": "event_id"}
"""Tables that an import's events go to, and where their ids stand."""


@dataclass(frozen=True, slots=True)
class Imported:
    """One import."""

    import_id: str
    tasks: Mapping[str, int]
    """Rows by task."""
    articles: int
    first_stored: datetime
    last_stored: datetime


def beginning(import_id: str) -> str:
    """Return what the ids of an import's events begin with."""
    return f"import-{import_id}-"


def stored(tables: Snapshot) -> list[Imported]:
    """Return the imports whose rows are stored, the newest first."""
    times: dict[str, list[datetime]] = defaultdict(list)
    tasks: dict[str, Counter[str]] = defaultdict(Counter)
    articles: Counter[str] = Counter()
    for name, more in (("examples", ["task"]), ("articles", [])):
        key = _OF_EVENTS[name]
        for batch in tables.batches(name, [key, "stored_at", *more], f"starts_with({key}, 'import-')"):
            for row in batch.to_pylist():
                if (found := _ID.fullmatch(row[key])) is None:
                    continue
                times[found[1]] = [min([*times[found[1]], row["stored_at"]]), max([*times[found[1]], row["stored_at"]])]
                if more:
                    tasks[found[1]][row["task"]] += 1
                else:
                    articles[found[1]] += 1
    every = [
        Imported(one, dict(tasks[one]), articles[one], first.astimezone(UTC), last.astimezone(UTC))
        for one, (first, last) in times.items()
    ]
    return sorted(every, key=lambda one: one.last_stored, reverse=True)


def take_back(upkeep: Upkeep, import_id: str, stored_before: int, first: Callable[[frozenset[str]], None]) -> frozenset[str]:
    """Remove the rows that an import brought before number `stored_before`; return the ids by which versions know them.

    `first` is told these ids before any row goes. Looks until nothing more is found: enrichment may write while it removes.
    """
    removed: set[str] = set()
    while True:
        with upkeep.pinned(READ) as tables:
            rows, examples = _rows(tables, import_id, stored_before)
        if not rows:
            return frozenset(removed)
        if not removed:
            first(examples)
        removed |= examples
        # Findings first: what a killed process leaves then is a text that is enriched again, and taken back at the next start.
        for name, row_ids in rows.items():
            upkeep.delete(name, row_ids)


def _rows(tables: Snapshot, import_id: str, stored_before: int) -> tuple[dict[str, list[int]], frozenset[str]]:
    """Return the rows of each table by LanceDB's ids, findings first, and the ids by which versions know them."""
    begins, before = quoted(beginning(import_id)), f"stored_seq < {stored_before}"
    found: dict[str, pa.Table] = {}
    for name, key in _OF_EVENTS.items():
        columns = sorted({key, KEYS[name], "row_id"} if name == "articles" else {key})
        found[name] = tables.scan(name, columns, f"starts_with({key}, {begins}) AND {before}", row_ids=True)
    enriched = tables.scan("example_enrichment", ["row_id"], f"starts_with(row_id, {begins}) AND {before}", row_ids=True)
    of_articles = tables.scan("article_enrichment", ["row_id"], row_ids=True) if found["articles"].num_rows else None
    if of_articles is not None:
        of_articles = of_articles.filter(pc.is_in(of_articles["row_id"], value_set=found["articles"]["row_id"].combine_chunks()))
    rows = {"example_enrichment": enriched, "article_enrichment": of_articles, **found}
    ids = {*found["examples"]["row_id"].to_pylist(), *map(id_of, found["articles"]["event_id"].to_pylist())}
    there = {name: table["_rowid"].to_pylist() for name, table in rows.items() if table is not None and table.num_rows}
    return there, frozenset(ids)
