"""From when on each answer of a user is in effect, as numbers that a count compares without reading words."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc

from consumers.defence.arrivals import TABLE
from consumers.lance_tables import Tables
from consumers.numbering import Numbers

NOT_JUDGED = -1
"""Enriched, but not judged yet: neither trains nor counts."""


class InEffect:
    """Reads each judgement once, and again when it has changed."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._read_up_to = 0
        self._version: dict[str, int] = {}
        # By enrichment number.
        self._from = np.full(1, NOT_JUDGED, np.int64)

    def of(self, seqs: Numbers) -> Numbers:
        """Return the numbers from which feedback with these enrichment numbers is in effect; 0: it is not, -1: not judged yet."""
        version = self._tables.versions([TABLE])
        if version != self._version:
            self._read_on()
            self._version = version
        self._make_room(int(seqs.max(initial=0)))
        return self._from[seqs]

    def _read_on(self) -> None:
        columns = ["enriched_seq", "effective_seq", "judged_seq"]
        rows = self._tables.scan(TABLE, columns, f"judged_seq > {self._read_up_to}")
        numbers = rows["enriched_seq"].to_numpy()
        self._make_room(int(numbers.max(initial=0)))
        self._from[numbers] = rows["effective_seq"].to_numpy()
        self._read_up_to = max(self._read_up_to, pc.max(rows["judged_seq"]).as_py() or 0)

    def _make_room(self, highest: int) -> None:
        missing = max(0, highest + 1 - len(self._from))
        self._from = np.pad(self._from, (0, missing), constant_values=NOT_JUDGED)
