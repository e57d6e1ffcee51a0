"""From when on each answer of a user is in effect and how far it is believed, as numbers that a count compares without words."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from consumers.defence import trust
from consumers.defence.arrivals import TABLE
from consumers.defence.records import evidence_counts, record_of, user_of
from consumers.rows.interning import Numbers
from consumers.tables.columns import quoted
from consumers.tables.lance import Tables

Beliefs = Callable[[Numbers], npt.NDArray[np.float64]]

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

    def belief(self, task: str) -> Beliefs:
        """Return what gives, for enrichment numbers, how far each row is believed: 1, and less for users who were contradicted.

        Nobody counts less for being new: of whom nothing is known is believed in full here.
        """
        own = f"task = {quoted(task)}"
        contradicted = self._tables.scan(TABLE, ["contributor"], f"{own} AND evidence = 'contradicted'")
        users = pc.unique(contradicted["contributor"]).to_pylist()
        rows = self._tables.lookup(TABLE, "contributor", users, ["enriched_seq", "task", "contributor", "evidence"], own)
        numbers = rows["enriched_seq"].to_numpy()
        beliefs = np.ones(int(numbers.max(initial=0)) + 1)
        trusts = {user: trust.trust(record_of(counts)) for user, counts in evidence_counts(rows).items()}
        users_of_rows = map(user_of, rows.select(["task", "contributor"]).to_pylist())
        beliefs[numbers] = [min(1.0, trusts[user] / trust.NEUTRAL) for user in users_of_rows]
        return lambda seqs: beliefs[np.where(seqs < len(beliefs), seqs, 0)]

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
