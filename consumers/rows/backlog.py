"""Texts that wait to be enriched."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from consumers.tables.columns import ENRICHMENT_OF, TextTable
from consumers.tables.lance import Tables


@dataclass(frozen=True, slots=True)
class TextRow:
    """A text that waits to be enriched."""

    row_id: str
    text: str
    event_time: datetime
    article_id: str | None
    document_id: str | None = None
    anchor: bool = False
    """A label of the anchor set: its split is `anchor`."""
    verdict: str | None = None
    """Of feedback; None for what no user said."""
    task: str | None = None
    """Of an example; None for an article."""
    selected_by: str | None = None
    """Likewise, how its row was chosen."""


@dataclass(frozen=True, slots=True)
class Behind:
    """How far enrichment is behind, in one table."""

    texts: int
    since: datetime | None
    """When the oldest of them was stored; None where there is none."""


class Backlog:
    """Hands out texts without enrichment."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        # Everything up to this sequence number is enriched, so that a full table is not compared again at every call.
        self._done_up_to: dict[str, int] = {}
        self._passed_over: set[str] = set()
        self.waiting_since: dict[str, datetime] = {}
        """Per table that has rows without enrichment, when the oldest of them was stored; as of the last check."""

    def oldest(self, table: TextTable, limit: int) -> list[TextRow]:
        """Return up to `limit` rows without enrichment, oldest event time first."""
        waiting = self._waiting(table)
        if waiting.num_rows == 0:
            return []
        order = pc.sort_indices(waiting, [("event_time", "ascending"), ("row_id", "ascending")])
        chosen = waiting.take(order[:limit])
        columns = ["row_id", "text", "event_time", "article_id"]
        columns += ["document_id", "anchor", "verdict", "task", "selected_by"] if table == "examples" else []
        texts = self._tables.take(table, chosen["_rowid"].to_pylist(), columns)
        found = {row["row_id"]: TextRow(**row) for row in texts.to_pylist()}
        return [found[row_id] for row_id in chosen["row_id"].to_pylist()]

    def behind(self, table: TextTable) -> Behind:
        """Return how many rows have no enrichment, and since when."""
        return Behind(self._waiting(table).num_rows, self.waiting_since.get(table))

    def _waiting(self, table: TextTable) -> pa.Table:
        done = self._done_up_to.get(table, 0)
        after = f"stored_seq > {done}"
        arrived = self._tables.scan(table, ["row_id", "stored_seq", "event_time", "stored_at"], after, row_ids=True)
        enriched = self._tables.scan(ENRICHMENT_OF[table], ["row_id"], after)
        known = pa.concat_arrays([enriched["row_id"].combine_chunks(), pa.array(sorted(self._passed_over), pa.string())])
        waiting = arrived.filter(pc.invert(pc.is_in(arrived["row_id"], value_set=known)))
        if waiting.num_rows == 0:
            self._done_up_to[table] = pc.max(arrived["stored_seq"]).as_py() or done
            self.waiting_since.pop(table, None)
            return waiting
        self.waiting_since[table] = pc.min(waiting["stored_at"]).as_py()
        self._done_up_to[table] = pc.min(waiting["stored_seq"]).as_py() - 1
        return waiting

    def pass_over(self, row_id: str) -> None:
        """Hand out this row no more in the life of this process."""
        self._passed_over.add(row_id)

    def look_anew(self) -> None:
        """Compare everything again at the next check: rows have lost their findings, or may be handed out again."""
        self._done_up_to.clear()
        self._passed_over.clear()
