"""Fills a buffer with a past, step by step: at each moment it holds what had come by then, as it was then."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from consumers.buffer.writer import BufferWriter
from consumers.history.past import Past, microseconds, moment
from consumers.tables.columns import SCHEMAS

_ROWS_PER_PORTION = 2_000


class Player:
    """Plays a past into a new buffer; it only goes forward."""

    def __init__(self, past: Past, buffer: BufferWriter) -> None:
        self._past = past
        self._buffer = buffer
        self._leaving = past.leaving()
        self._left = 0
        self._asked = 0
        self._known = 0
        self._place = 0
        self._moved: dict[int, int] = {}
        """Numbers that rows have here and not in the past, where a replay has given numbers away itself."""
        self._back: dict[int, int] = {}
        # Only where their rows come from is asked of them.
        buffer.take_over("articles", past.tables.scan("articles", SCHEMAS["articles"].names))

    @property
    def number(self) -> int:
        """The highest number that was played, 0 before the first."""
        return self._known

    def in_the_past(self, number: int) -> int:
        """Return the number that a row with this number here has in the past."""
        return self._back.get(number, number)

    def to(self, at: datetime, number: int | None = None) -> None:
        """Play what was known at a moment; with `number` the rows up to that, whenever they came."""
        self._requests(at)
        wanted = self._past.upto(at) if number is None else number
        while self._known < wanted:
            place = int(np.searchsorted(self._past.numbers, wanted, side="right"))
            end = min(place, self._place + _ROWS_PER_PORTION)
            upto = wanted if end == place else int(self._past.numbers[end - 1])
            self._rows(self._known, upto)
            self._known, self._place = upto, end

    def _requests(self, at: datetime) -> None:
        moments = self._past.request_moments()
        upto = int(np.searchsorted(moments, microseconds(at), side="right"))
        if upto > self._asked:
            self._buffer.take_over("requests", self._past.requests.slice(self._asked, upto - self._asked))
            self._asked = upto

    def _rows(self, after: int, upto: int) -> None:
        between = f"{{}} > {after} AND {{}} <= {upto}"
        tables = self._past.tables
        facts = tables.scan("example_enrichment", SCHEMAS["example_enrichment"].names, between.format(*["enriched_seq"] * 2))
        texts = tables.lookup("examples", "row_id", facts["row_id"].to_pylist(), SCHEMAS["examples"].names)
        # An answer that was let in counts from then on; what was decided before that is not kept.
        in_effect = f"({between.format(*['effective_seq'] * 2)})"
        others = f"(effective_seq <= 0 AND {between.format(*['judged_seq'] * 2)})"
        judged = tables.scan("feedback_judgements", SCHEMAS["feedback_judgements"].names, f"{in_effect} OR {others}")
        # Judged when it took effect: a count goes on from the newest judgement that it has read.
        first = pc.if_else(pc.greater(judged["effective_seq"], 0), judged["effective_seq"], judged["judged_seq"])
        judged = _with(judged, "judged_seq", first)
        facts = self._aged(facts)
        self._number(after, upto)
        self._buffer.take_over("examples", texts)
        self._buffer.take_over("example_enrichment", self._numbered(facts, "enriched_seq"))
        self._buffer.take_over("feedback_judgements", self._numbered(judged, "enriched_seq", "effective_seq", "judged_seq"))
        self._leave(upto)
        self._buffer.optimize_if_due()

    def _number(self, after: int, upto: int) -> None:
        """Find new numbers for rows whose own were given away here, to rows that a run of the replay has moved."""
        last = self._buffer.highest_number()
        if last <= after:
            return
        for number in np.unique(self._past.numbers[(self._past.numbers > after) & (self._past.numbers <= upto)]).tolist():
            if number > last:
                return
            last += 1
            self._moved[number], self._back[last] = last, number

    def _numbered(self, rows: pa.Table, *columns: str) -> pa.Table:
        if not self._moved:
            return rows
        for name in columns:
            rows = _with(rows, name, pa.array([self._moved.get(one, one) for one in rows[name].to_pylist()], pa.int64()))
        return rows

    def _leave(self, upto: int) -> None:
        """Take rows out of training that left it when, or before, a row up to `upto` was stored."""
        end = int(np.searchsorted(self._leaving.numbers, upto, side="right"))
        if end > self._left:
            some = slice(self._left, end)
            self._buffer.drop_from_training(dict(zip(self._leaving.row_ids[some], self._leaving.reasons[some], strict=True)))
            self._left = end

    def _aged(self, facts: pa.Table) -> pa.Table:
        """Return rows as old as they are in this past."""
        if self._past.by == "event":
            # As old as it was known: what waits for a run waits from then on.
            places = np.searchsorted(self._past.numbers, facts["enriched_seq"].to_numpy())
            came = [moment(one) for one in self._past.moments[places]]
            facts = _with(facts, "stored_at", pa.array(came, SCHEMAS["example_enrichment"].field("stored_at").type))
        return facts


def _with(rows: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    place = rows.schema.get_field_index(name)
    return rows.set_column(place, rows.schema.field(name), pc.cast(values, rows.schema.field(name).type))
