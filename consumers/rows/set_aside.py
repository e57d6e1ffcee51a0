"""Texts that enrichment or judging fails on. They are marked where the finding would stand: nothing waits for them.

The fault lies in the program (or in what it was given of this machine), not in the sender. So they stay stored, and are tried
again by another version of the program, and whenever the task files are reloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from importlib import metadata

from consumers.rows.enrichment_rows import Enrichment
from consumers.tables.columns import is_one_of, quoted
from consumers.tables.lance import Tables

_MARK = "set aside by Perennial "
_VERSION = metadata.version("perennial")
# Where a mark stands: the table, its column with the reason, and the column that tells since when the row is there.
_PLACES = {
    "articles": ("article_enrichment", "dropped_because", "stored_at"),
    "examples": ("example_enrichment", "dropped_because", "stored_at"),
    "feedback": ("feedback_judgements", "over_cap", "arrived_at"),
}


@dataclass(frozen=True, slots=True)
class SetAside:
    """One text that is stored and that nothing is done with."""

    table: str
    """`articles` or `examples`; `feedback`: the answer could not be judged."""
    row_id: str
    task: str | None
    reason: str
    stored_at: datetime


def mark(what: str) -> str:
    """Return why a row is set aside; `what` says in words what failed on it."""
    return f"{_MARK}{_VERSION}: {what}"


def finding(row_id: str, what: str) -> Enrichment:
    """Return what stands in the place of a text's enrichment."""
    return Enrichment(
        row_id, language=None, quality=0.0, quality_reasons=(), embedding=None, encoder_id=None, story_id=None, split="dropped",
        dropped_because=mark(what),
    )  # fmt: skip


def is_mark(dropped_because: str | None) -> bool:
    """Return whether this is why a row was dropped."""
    return (dropped_because or "").startswith(_MARK)


def listed(tables: Tables, limit: int) -> list[SetAside]:
    """Return the texts and answers that are set aside, oldest first."""
    found: list[SetAside] = []
    for table, (name, reason, stored_at) in _PLACES.items():
        columns = ["row_id", reason, stored_at, *(["task"] if table != "articles" else [])]
        rows = tables.scan(name, columns, _marked(reason)).to_pylist()
        found += [SetAside(table, row["row_id"], row.get("task"), row[reason], row[stored_at]) for row in rows]
    return sorted(found, key=lambda one: (one.stored_at, one.row_id))[:limit]


def count(tables: Tables) -> int:
    """Return how many texts and answers are set aside."""
    return sum(tables.count(name, _marked(reason)) for name, reason, _ in _PLACES.values())


def release(tables: Tables, *, of_this_version: bool) -> int:
    """Take the marks away, so that the rows are tried again; return how many.

    Without `of_this_version` only those that another version of the program gave.
    """
    released = 0
    for name, reason, _ in _PLACES.values():
        where = _marked(reason)
        if not of_this_version:
            where += f" AND NOT starts_with({reason}, {quoted(f'{_MARK}{_VERSION}:')})"
        ids = tables.scan(name, ["row_id"], where)["row_id"].to_pylist()
        if name == "example_enrichment" and ids:
            # Enriched again they get another number, under which they are judged again.
            tables.delete("feedback_judgements", is_one_of("row_id", ids))
        released += tables.delete(name, where) if ids else 0
    return released


def _marked(reason: str) -> str:
    return f"starts_with({reason}, {quoted(_MARK)})"
