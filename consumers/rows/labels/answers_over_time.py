"""What texts were said to be over time: by people in examples, by models in predictions; a sample where there are many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from consumers.tables.columns import moment, quoted
from consumers.tables.lance import Snapshot

Said = Literal["examples", "predictions"]
_COLUMN = {"examples": "target", "predictions": "answer"}
# Primes: no pattern in the order of arrival, such as labels that take turns, falls in step with them.
_EVERY = (1, 2, 3, 5, 7, 11, 17, 23, 31, 43, 61, 83, 113, 157, 223, 307, 431, 601, 853, 1201)


@dataclass(frozen=True, slots=True)
class Sample:
    """Answers of one task since a moment."""

    times: Sequence[datetime]
    """When each text's event happened."""
    answers: Sequence[str]
    """What each was said to be, JSON, in the same order."""
    every: int
    """Each stands for about so many."""


def sample(tables: Snapshot, table: Said, task: str, *, since: datetime, most: int) -> Sample:
    """Return what a table says of a task's texts whose events happened at `since` or later: all, or about `most` of them."""
    column = _COLUMN[table]
    where = f"task = {quoted(task)} AND event_time >= {moment(since)}"
    rows = tables.count(table, where)
    every = next((prime for prime in _EVERY if rows <= prime * most), _EVERY[-1])
    found = tables.scan(table, ["event_time", column], where if every == 1 else f"stored_seq % {every} = 0 AND {where}")
    return Sample(found["event_time"].to_pylist(), found[column].to_pylist(), every)
