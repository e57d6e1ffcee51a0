"""Labels that no person gave and that hold no more: they leave training, as events ask for it, once they are enriched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

from consumers.rows.eligibility import MADE, WITHDRAWN
from consumers.tables.columns import is_one_of, quoted
from consumers.tables.lance import Snapshot, Tables

KIND = "weak_labels_withdrawn"
_READ = ("requests", "example_enrichment")


class Withdrawn:
    """Looks for labels by rules or a language model that are to leave training, again only when a table has changed."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._looked_at: Mapping[str, int] | None = None
        self._requests = -1
        self._read_up_to = 0
        """The highest number of a request that was read."""
        self._left: dict[str, str] = {}
        """Ids whose rows were not seen out of training yet, and why they leave it."""

    def due(self) -> dict[str, tuple[Literal["dropped"], str]]:
        """Return the enriched rows that are to leave training, and why."""
        if (versions := self._tables.versions(_READ)) == self._looked_at:
            return {}
        self._looked_at = versions
        if versions["requests"] != self._requests:
            self._requests = versions["requests"]
            # Only what came since: the others are waited for already, or were seen out of training.
            self._left |= self._newly_withdrawn()
        if not self._left:
            return {}
        found = self._tables.lookup(
            "example_enrichment", "row_id", sorted(self._left), ["row_id", "split"], is_one_of("origin", MADE)
        ).to_pylist()
        # A row changes its side once: what trains no more needs no second look.
        out = {row["row_id"] for row in found if row["split"] != "train"}
        self._left = {row_id: why for row_id, why in self._left.items() if row_id not in out}
        return {row_id: ("dropped", f"{WITHDRAWN}{self._left[row_id]}") for row in found if (row_id := row["row_id"]) not in out}

    def _newly_withdrawn(self) -> dict[str, str]:
        where = f"kind = {quoted(KIND)} AND stored_seq > {self._read_up_to}"
        rows = self._tables.scan("requests", ["body", "stored_seq"], where).to_pylist()
        self._read_up_to = max((row["stored_seq"] for row in rows), default=self._read_up_to)
        return {event_id: body["reason"] for row in rows for body in [json.loads(row["body"])] for event_id in body["event_ids"]}


def withdrawn_ids(tables: Tables | Snapshot, task: str | None = None) -> dict[str, str]:
    """Return the ids of all labels that were withdrawn, with the reason; of one task or of all."""
    where = f"kind = {quoted(KIND)}" + (f" AND task = {quoted(task)}" if task is not None else "")
    bodies = map(json.loads, tables.scan("requests", ["body"], where)["body"].to_pylist())
    return {event_id: body["reason"] for body in bodies for event_id in body["event_ids"]}
