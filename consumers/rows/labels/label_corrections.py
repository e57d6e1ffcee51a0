"""Labels that were wrong: the events that correct them, and the one place where a stored target changes.

A correction is an event and stays in `requests`; the row says which one it follows and what its label said at first. After a
repair that put an older version of a table back, the next look applies again what was lost.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from config.errors import DeadLetterError
from config.tasks import TaskSpec
from consumers.events.targets import read_target
from consumers.faults import in_words, of_the_machine
from consumers.rows.arriving.event_rows import answer_sha256, canonical_json
from consumers.rows.eligibility import MADE
from consumers.rows.enrichment_rows import EnrichmentRows
from consumers.tables.columns import SCHEMAS, quoted
from consumers.tables.lance import Tables

_KIND = "label_correction"
_CORRECTED = ["row_id", "target", "first_target", "corrected_by", "request", "text_sha256"]


@dataclass(frozen=True, slots=True)
class LabelCorrection:
    """A correction as it is stored."""

    event_id: str
    task: str
    label_id: str
    target: str
    """JSON."""
    annotator: str
    note: str | None
    source: str | None
    at: datetime
    stored_seq: int


@dataclass(frozen=True, slots=True)
class CorrectedLabel:
    """A label that was given another target."""

    label_id: str
    target: str
    """JSON, as it is now."""
    first: str
    """JSON, as it was given."""
    by: str
    """The event that corrected it last."""
    asked_text: str | None = None
    """SHA-256 of its text where it answers a request to tell two models apart; else None."""


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A label that may be corrected."""

    label_id: str
    task: str
    text: str
    target: Mapping[str, Any]
    article_id: str | None
    verdict: str | None
    """Of feedback; None for a label."""
    is_made: bool = False
    """Whether rules or a language model gave it."""
    asked_text: str | None = None
    """SHA-256 of its text where it answers a request to tell two models apart; else None."""


@dataclass(frozen=True, slots=True)
class Course:
    """What became of a row after it was stored."""

    retired_at: datetime | None
    """When it went from the test side to training; None: it has not."""
    retired_because: str | None
    corrected: CorrectedLabel | None


def _course_of(tables: Tables, row_id: str) -> Course | None:
    """Return what became of an example; None where there is none."""
    where = f"row_id = {quoted(row_id)}"
    rows = tables.scan("examples", _CORRECTED, where).to_pylist()
    found = tables.scan("example_enrichment", ["retired_at", "retired_because"], where).to_pylist()
    placed = found[0] if found else {"retired_at": None, "retired_because": None}
    return next((Course(**placed, corrected=_corrected(row) if row["corrected_by"] else None) for row in rows), None)


def _stored(tables: Tables, task: str | None = None, *, after_seq: int = 0) -> list[LabelCorrection]:
    """Return the corrections that are stored, oldest first; of one task, or of all."""
    where = f"kind = {quoted(_KIND)} AND stored_seq > {after_seq}" + (f" AND task = {quoted(task)}" if task is not None else "")
    rows = (
        tables.scan("requests", ["event_id", "task", "body", "event_time", "stored_seq"], where).sort_by("stored_seq").to_pylist()
    )
    return [_correction(row, json.loads(row["body"])) for row in rows]


def _label(tables: Tables, label_id: str) -> LabelRow | None:
    """Return an example by its id; None where there is none."""
    columns = ["row_id", "task", "text", "target", "article_id", "verdict", "origin", "request", "text_sha256"]
    for row in tables.scan("examples", columns, f"row_id = {quoted(label_id)}").to_pylist():
        target = json.loads(row["target"])
        is_made = row["origin"] in MADE
        return LabelRow(
            row["row_id"], row["task"], row["text"], target, row["article_id"], row["verdict"], is_made, _asked_text(row)
        )  # fmt: skip
    return None


def _all_corrected(tables: Tables, task: str) -> dict[str, CorrectedLabel]:
    """Return the labels of a task that were corrected, by id."""
    rows = tables.scan("examples", _CORRECTED, f"task = {quoted(task)} AND corrected_by IS NOT NULL").to_pylist()
    return {row["row_id"]: _corrected(row) for row in rows}


def _corrected(row: Mapping[str, Any]) -> CorrectedLabel:
    return CorrectedLabel(row["row_id"], row["target"], row["first_target"], row["corrected_by"], _asked_text(row))


def _asked_text(row: Mapping[str, Any]) -> str | None:
    sha256: str = row["text_sha256"]
    return sha256 if row["request"] else None


class Labels:
    """Reads single labels, and what became of them. Thread-safe by the buffer's lock."""

    def __init__(self, tables: Tables, lock: threading.RLock) -> None:
        self._tables = tables
        self._lock = lock

    def find(self, label_id: str) -> LabelRow | None:
        """Return a label or an answer of a user by its event id; None where none is stored under it."""
        with self._lock:
            return _label(self._tables, label_id)

    def course(self, label_id: str) -> Course | None:
        """Return what became of an example since it was stored; None where there is none."""
        with self._lock:
            return _course_of(self._tables, label_id)

    def corrections(self, task: str | None = None) -> list[LabelCorrection]:
        """Return the corrections that are stored, oldest first; of one task, or of all."""
        with self._lock:
            return _stored(self._tables, task)

    def corrected(self, task: str) -> dict[str, CorrectedLabel]:
        """Return the labels of a task that were corrected, by id."""
        with self._lock:
            return _all_corrected(self._tables, task)


class LabelCorrections:
    """Finds the corrections that are not in force yet, and puts them in force."""

    def __init__(self, tables: Tables, enrichment: EnrichmentRows) -> None:
        self._tables = tables
        self._enrichment = enrichment
        self._requests = -1
        self._stored: list[LabelCorrection] = []
        """All that there are, as of that version of the table of requests."""
        self._in_force: dict[str, str] = {}
        """The correction that each label was seen to follow: it is not looked up again."""

    def look_anew(self) -> None:
        """Forget what was seen: rows have gone, and may come again as they once were."""
        self._requests = -1

    def due(self, tasks: Mapping[str, TaskSpec], passed_over: Collection[str]) -> list[tuple[LabelCorrection, str | None]]:
        """Return the newest correction of each label that it does not follow yet, and why it cannot be applied, if it cannot.

        Not those that are `passed_over`, by event id. One whose label has not arrived waits.
        """
        version = self._tables.versions(["requests"])["requests"]
        if version != self._requests:
            self._requests, self._stored, self._in_force = version, _stored(self._tables), {}
        newest = {one.label_id: one for one in self._stored if one.event_id not in passed_over}
        unsure = [name for name, one in newest.items() if self._in_force.get(name) != one.event_id]
        # Texts only of those that need one: all that were ever corrected would be read each time.
        followed = self._tables.lookup("examples", "row_id", sorted(unsure), ["row_id", "corrected_by"]) if unsure else None
        differing = []
        for row in followed.to_pylist() if followed is not None else ():
            if row["corrected_by"] == newest[row["row_id"]].event_id:
                self._in_force[row["row_id"]] = row["corrected_by"]
            else:
                differing.append(row["row_id"])
        columns = ["row_id", "task", "text", "target", "verdict", "origin"]
        rows = self._tables.lookup("examples", "row_id", sorted(differing), columns).to_pylist() if differing else []
        found = [(newest[row["row_id"]], row) for row in rows]
        return [(one, _why_not(one, row, tasks)) for one, row in sorted(found, key=lambda pair: pair[0].stored_seq)]

    def apply(self, one: LabelCorrection) -> bool:
        """Give a label its corrected target wherever it is stored; return whether that changes it."""
        key = one.label_id
        row = self._one("examples", "row_id", key)
        before = row["target"][0].as_py()
        sha256 = answer_sha256(one.task, row["text_sha256"][0].as_py(), one.target)
        if before != one.target:
            # It says something new: counted as enriched anew, what follows from it is looked at again.
            self._put("example_enrichment", "row_id", key, answer_sha256=sha256, enriched_seq=self._enrichment.next_number())
            self._put("feedback", "event_id", key, target=one.target)
        # The example last: until it names the correction, the next look applies it again.
        first = row["first_target"][0].as_py() or before
        self._put(
            "examples", "row_id", key, target=one.target, answer_sha256=sha256, first_target=first, corrected_by=one.event_id
        )
        return bool(before != one.target)

    def _one(self, table: str, column: str, key: str) -> pa.Table:
        return self._tables.scan(table, SCHEMAS[table].names, f"{column} = {quoted(key)}")

    def _put(self, table: str, column: str, key: str, **changes: object) -> None:
        rows = self._one(table, column, key)
        for name, value in changes.items():
            place = rows.schema.get_field_index(name)
            field = rows.schema.field(name)
            rows = rows.set_column(place, field, pa.array([value] * rows.num_rows, field.type))
        self._tables.replace(table, rows)


def _correction(row: Mapping[str, Any], body: Mapping[str, Any]) -> LabelCorrection:
    return LabelCorrection(
        row["event_id"], row["task"], body["label_id"], canonical_json(body["target"]), body["annotator"], body.get("note"),
        body.get("source"), row["event_time"], row["stored_seq"],
    )  # fmt: skip


def _why_not(one: LabelCorrection, row: Mapping[str, Any], tasks: Mapping[str, TaskSpec]) -> str | None:
    if row["verdict"] is not None or row["origin"] in MADE:
        kind = "feedback of a user" if row["verdict"] is not None else "a label by rules or a language model"
        return f"{one.label_id} is {kind}, not a label that a person gave"
    if row["task"] != one.task or one.task not in tasks:
        return f"{one.label_id} is a label of task {row['task']}, not of {one.task}, or that task has no task file here"
    try:
        read_target(tasks[one.task], json.loads(one.target), row["text"])
    except DeadLetterError as error:
        return error.reason
    except Exception as error:
        if of_the_machine(error):
            raise
        return f"the program failed on it ({in_words(error)}); please report this"
    return None
