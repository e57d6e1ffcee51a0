"""All labelled rows of a task, with the side that each stands on: what is handed on, to files and to others.

A training set takes one row for each text, of a window, within a budget. This is everything that such sets choose from.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from consumers.defence.records import FACTS, Judged
from consumers.erasure.tombstones import Tombstones
from consumers.rows.eligibility import MADE, WITHHELD, eligibility
from consumers.rows.labels.renames import in_force
from consumers.tables.columns import quoted
from consumers.tables.lance import Snapshot
from consumers.tables.pace import portions
from consumers.training_set.targets import accepted, usable_target

READ = ("examples", "example_enrichment", "feedback_judgements", "requests")
SIDES = ("train", "test", "anchor")
_FACTS = ["row_id", "event_time", "split", "selected_by", "verdict", "quality", "language"]
_WHOLE = ["row_id", "text", "target", "origin", "event_time", "document_id", "article_id", "user_id", "prediction_id"]
_ROWS_PER_READ = 1_000


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """One labelled text."""

    example_id: str
    text: str
    target: Mapping[str, Any]
    """Under the names in force."""
    side: str
    """`train`, `test` or `anchor`."""
    origin: str
    time: datetime
    document_id: str | None
    article_id: str | None
    language: str


@dataclass(slots=True)
class Counts:
    """What one reading gave."""

    sides: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    """Rows that carry each label."""
    origins: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    """Rows by the reason why they are not among them."""
    first: datetime | None = None
    last: datetime | None = None

    @property
    def rows(self) -> int:
        """How many rows there were."""
        return sum(self.sides.values())

    def note(self, row: LabelledRow) -> None:
        """Count a row."""
        self.sides[row.side] += 1
        self.origins[row.origin] += 1
        self.languages[row.language or "unknown"] += 1
        self.labels.update(set(kinds.of(row.target).labels(row.target)))
        self.first = row.time if self.first is None else min(self.first, row.time)
        self.last = row.time if self.last is None else max(self.last, row.time)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows are asked for."""

    sides: Collection[str] = SIDES
    feedback: bool = False
    """Whether what users said comes too, where it is in effect."""
    weak: bool = False
    """Whether what rules say of texts comes too."""


class LabelledRows:
    """The rows of one moment, which may be read as often as needed: the oldest first, the same every time."""

    def __init__(self, snapshot: Snapshot, task: TaskSpec, wanted: Wanted, *, min_quality: float, erased: Tombstones) -> None:
        self._snapshot = snapshot
        self.task = in_force(snapshot, task)
        self._wanted = wanted
        self._erased = erased
        self._never: Counter[str] = Counter()
        self._chosen = self._choose(min_quality)

    def read(self, counts: Counts | None = None) -> Iterator[LabelledRow]:
        """Yield the rows, with the texts of a thousand at a time in memory; `counts` learns what came."""
        counts = counts if counts is not None else Counts()
        counts.left_out.update(self._never)
        for portion in portions(self._chosen, _ROWS_PER_READ):
            facts = {row["row_id"]: row for row in portion.to_pylist()}
            found = self._snapshot.take("examples", portion["_rowid"].to_pylist(), _WHOLE)
            whole = {row["row_id"]: row for row in found.to_pylist()}
            for row_id, fact in facts.items():
                if (row := self._row(whole[row_id], fact, counts.left_out)) is not None:
                    counts.note(row)
                    yield row

    def _choose(self, min_quality: float) -> pa.Table:
        """Return the rows by their narrow columns, and count those left out."""
        own = f"task = {quoted(self.task.name)}"
        enriched = self._snapshot.scan("example_enrichment", _FACTS, own)
        places = self._snapshot.scan("examples", ["row_id"], own, row_ids=True)
        if (waiting := places.num_rows - enriched.num_rows) > 0:
            self._never["not enriched yet"] = waiting
        judged = Judged(self._snapshot.scan("feedback_judgements", FACTS, own)) if self._wanted.feedback else None
        keep = [self._kept(row, min_quality, judged) for batch in enriched.to_batches() for row in batch.to_pylist()]
        kept = enriched.filter(pa.array(keep, pa.bool_()))
        found = kept.join(places, "row_id", join_type="inner")
        return found.sort_by([("event_time", "ascending"), ("row_id", "ascending")])

    def _kept(self, row: Mapping[str, Any], min_quality: float, judged: Judged | None) -> bool:
        why = self._never
        if row["verdict"] is not None and judged is None:
            why["feedback of users"] += 1
        elif row["selected_by"] in MADE and not self._wanted.weak:
            why["labels of rules or a language model"] += 1
        elif row["split"] == "dropped":
            why["texts that tie training to held-out stories (dropped)"] += 1
        elif row["selected_by"] == WITHHELD:
            why["labels that decide an open pair of models"] += 1
        elif eligibility(
            row["split"], row["selected_by"], row["verdict"], good=row["quality"] >= min_quality, feedback=self.task.feedback
        ) is None:  # fmt: skip
            why["rows that neither train nor test (quality, weight)"] += 1
        elif judged is not None and row["verdict"] is not None and judged.of(row["row_id"])["standing"] != "effective":
            why["feedback that is not in effect"] += 1
        elif row["split"] not in self._wanted.sides:
            why[f"rows of side {row['split']}, which was not asked for"] += 1
        else:
            return True
        return False

    def _row(self, row: Mapping[str, Any], fact: Mapping[str, Any], left_out: Counter[str]) -> LabelledRow | None:
        if self._is_erased(row):
            left_out["rows that are being erased"] += 1
            return None
        target = usable_target(row["target"], self.task, (self.task.renames,))
        if target is None:
            left_out[f"targets that do not fit kind {self.task.kind}"] += 1
            return None
        if (target := accepted(target, self.task, left_out)) is None:
            return None
        return LabelledRow(
            row["row_id"], row["text"], json.loads(target), fact["split"], row["origin"], row["event_time"].astimezone(UTC),
            row["document_id"], row["article_id"], fact["language"] or "",
        )  # fmt: skip

    def _is_erased(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row belongs to something that was asked to be forgotten, and may still be there for minutes."""
        erased = self._erased
        return bool(erased) and (
            erased.has("article", row["article_id"])
            or erased.has("article", row["document_id"])
            or erased.has("user", row["user_id"])
            or erased.has("prediction", row["prediction_id"])
            or (row["article_id"] is None and erased.has_text(row["text"]))
        )
