"""Read access to the stored judgements of users and of single answers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from consumers.defence import trust
from consumers.rows.arriving.event_rows import Row

User = tuple[str, str]
"""Task and contributor: whoever knows topics need not know entities."""
NOT_JUDGED = "not judged yet"
FACTS = ("row_id", "task", "contributor", "standing", "evidence", "decision", "cites_a_correction")


def evidence_counts(rows: pa.Table) -> dict[User, Counter[str | None]]:
    """Return how many answers of each user are evidence of each kind (columns `task`, `contributor`, `evidence`)."""
    counted: dict[User, Counter[str | None]] = defaultdict(Counter)
    for row in rows.group_by(["task", "contributor", "evidence"]).aggregate([([], "count_all")]).to_pylist():
        counted[user_of(row)][row["evidence"]] = row["count_all"]
    return counted


def record_of(counts: Mapping[str | None, int]) -> trust.Record:
    """Return the counts of one user as a record."""
    return trust.Record(counts.get("agreed", 0), counts.get("unearned", 0), counts.get("contradicted", 0))


def user_of(row: Row) -> User:
    """Return whose answer it is."""
    return row["task"], row["contributor"]


class Judged:
    """The standings of users' answers, for the selection of a training set. Reads the columns `FACTS`."""

    def __init__(self, rows: pa.Table, evidence: pa.Table | None = None) -> None:
        """`evidence` are all answers of the same users, where `rows` are only some."""
        self._rows = {row["row_id"]: row for row in rows.to_pylist()}
        counted = evidence_counts(rows if evidence is None else evidence)
        self._trust = {user: trust.trust(record_of(counts)) for user, counts in counted.items()}

    def of(self, row_id: str) -> dict[str, Any]:
        """Return `standing`, `trust`, `contributor`, `accepted` and `cites_a_correction` of an answer.

        One without a judgement is not effective.
        """
        row = self._rows.get(row_id)
        if row is None:
            return {"standing": NOT_JUDGED}
        trusted = self._trust[user_of(row)]
        return {
            "standing": row["standing"], "trust": trusted, "contributor": row["contributor"],
            "accepted": row["decision"] == "accept", "cites_a_correction": bool(row["cites_a_correction"]),
        }  # fmt: skip
