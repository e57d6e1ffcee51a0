"""A past: a task's rows as enrichment left them (`consumers.history.taking`), and when each of them was known to the daemon.

Of a million rows only numbers and moments are in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from config.errors import UserError
from consumers.history.leaving import Leaving
from consumers.rows.eligibility import INDEPENDENT
from consumers.tables.columns import SCHEMAS, is_one_of
from consumers.tables.lance import Tables

By = Literal["arrival", "event"]
"""When a row counts as having come: when it was stored, or when its event says that it happened."""
Numbers = npt.NDArray[np.int64]

_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Seen:
    """A moment at which it is on record how far the daemon had come: it knew the rows up to a number, and none beyond."""

    at: datetime
    number: int


class Past:
    """What `take` has copied, in the order in which it was found out."""

    def __init__(self, folder: Path, task: str, *, by: By = "arrival", seen: Sequence[Seen] = ()) -> None:
        """`seen` are moments on record, used where rows count by their arrival."""
        self.task = task
        self.by = by
        self.folder = folder
        self.tables = Tables(folder, writer=True)
        self._leaving = Leaving.read(folder)
        facts = self.tables.scan("example_enrichment", ["enriched_seq", "stored_at", "event_time"])
        judged = self.tables.scan("feedback_judgements", ["effective_seq", "judged_seq", "arrived_at", "event_time"])
        came, arrived = ("stored_at", "arrived_at") if by == "arrival" else ("event_time", "event_time")
        numbers = np.concatenate([facts["enriched_seq"].to_numpy(), _in_effect(judged)]).astype(np.int64)
        moments = np.concatenate([_numbers(facts[came]), _numbers(judged[arrived])])
        order = np.argsort(numbers, kind="stable")
        self.numbers: Numbers = numbers[order]
        """Of enrichments and judgements, rising."""
        self.moments: Numbers = _firm(self.numbers, np.maximum.accumulate(moments[order]), seen if by == "arrival" else ())
        """When each was known, in microseconds since 1970 (UTC), never falling."""
        requests = self.tables.scan("requests", SCHEMAS["requests"].names)
        self.requests = requests.sort_by([("stored_at" if by == "arrival" else "event_time", "ascending")])

    @property
    def rows(self) -> int:
        """How many rows were enriched."""
        return self.tables.count("example_enrichment")

    def upto(self, at: datetime) -> int:
        """Return the highest number that was known at a moment, 0 before the first."""
        place = int(np.searchsorted(self.moments, microseconds(at), side="right"))
        return int(self.numbers[place - 1]) if place else 0

    def request_moments(self) -> Numbers:
        """Return when the requests came, in microseconds."""
        return _numbers(self.requests["stored_at" if self.by == "arrival" else "event_time"])

    def leaving(self) -> Leaving:
        """Return which rows left training later, and when."""
        return self._leaving

    def corrected(self) -> list[str]:
        """Return the ids of labels that were given another target: what they said at first is played at no time."""
        rows = self.tables.scan("examples", ["row_id"], "corrected_by IS NOT NULL AND first_target != target")
        found: list[str] = sorted(rows["row_id"].to_pylist())
        return found

    def missing(self, example_ids: pa.Array) -> list[str]:
        """Return those of the ids that no row has any more, in order."""
        there = self.tables.scan("examples", ["row_id"])["row_id"].combine_chunks()
        gone: list[str] = example_ids.filter(pc.invert(pc.is_in(example_ids, value_set=there))).to_pylist()
        return sorted(gone)

    def held_out(self, after: int, upto: int, *, most: int, seed: int) -> pa.Table:
        """Return a sample of the rows with numbers above `after`, up to `upto`, that were held out and chosen independently.

        Columns `row_id`, `text`, `target` (JSON), `event_time`, `story_id`, `language`, `document_id`, `article_id`.
        """
        where = (
            f"enriched_seq > {after} AND enriched_seq <= {upto} AND split = 'test' AND {is_one_of('selected_by', INDEPENDENT)}"
        )
        facts = self.tables.scan("example_enrichment", ["row_id", "story_id", "language"], where).sort_by("row_id")
        if facts.num_rows > most:
            chosen = np.sort(np.random.default_rng(seed).choice(facts.num_rows, most, replace=False))
            facts = facts.take(pa.array(chosen))
        columns = ["row_id", "text", "target", "event_time", "document_id", "article_id"]
        texts = self.tables.lookup("examples", "row_id", facts["row_id"].to_pylist(), columns)
        return texts.join(facts, "row_id", join_type="inner").sort_by([("event_time", "ascending"), ("row_id", "ascending")])


def microseconds(at: datetime) -> int:
    """Return a moment in microseconds since 1970, exactly."""
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * _MICROSECONDS + since.microseconds


def moment(since_1970: int) -> datetime:
    """Return the moment of microseconds since 1970."""
    seconds, rest = divmod(int(since_1970), _MICROSECONDS)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def refuse_empty(past: Past) -> None:
    """Raise `UserError` where there is nothing to play."""
    if not len(past.numbers):
        message = (
            f"the buffer holds no enriched example of task {past.task!r}, so there is no history to play. Import some and let "
            "the daemon enrich them (`perennial status`)"
        )
        raise UserError(message)


def _in_effect(judged: pa.Table) -> Numbers:
    """Return from which number on each judgement stands: where it lets an answer in, from when that took effect."""
    effective, last = judged["effective_seq"].to_numpy(), judged["judged_seq"].to_numpy()
    found: Numbers = np.where(effective > 0, effective, last).astype(np.int64)
    return found


def _numbers(column: pa.ChunkedArray) -> Numbers:
    found: Numbers = column.cast(pa.int64()).to_numpy()
    return found


def _firm(numbers: Numbers, moments: Numbers, seen: Sequence[Seen]) -> Numbers:
    """Return the moments as the record has them: a row may have waited long between its arrival and its enrichment."""
    found = moments.copy()
    for one in sorted(seen, key=lambda one: one.number):
        at = microseconds(one.at)
        known = numbers <= one.number
        found[known] = np.minimum(found[known], at)
        found[~known] = np.maximum(found[~known], at + 1)
    rising: Numbers = np.maximum.accumulate(found)
    return rising
