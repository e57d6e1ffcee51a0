"""The feedback ledger: answers whose text came separately wait here until it arrives, then become examples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from config.errors import DeadLetterError
from config.tasks import TaskSpec
from consumers.events.answers import stored_answer, target_of
from consumers.events.targets import read_target
from consumers.faults import in_words, of_the_machine
from consumers.rows.arriving.event_rows import AS_CITED, Row, canonical_json, example_row
from consumers.rows.arriving.insertion import Insertion
from consumers.rows.arriving.revisions import Revisions
from consumers.rows.labels.renames import renamed
from consumers.rows.set_aside import is_mark
from consumers.tables.columns import SCHEMAS, quoted
from consumers.tables.lance import Tables

_log = structlog.get_logger(__name__)

_HELD_OUT: Mapping[str, str] = {
    "test": "its story is reserved for testing, so no model learns from it",
    "dropped": "it was removed from training",
}


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one label or feedback event."""

    event_id: str
    task: str
    status: Literal["queued", "waiting", "joined", "held_out", "set_aside", "refused"]
    reason: str
    example_id: str | None


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    task: str | None
    """The task a prediction was made for; None for an article."""
    answer: Mapping[str, Any] | None = None
    """What the prediction said; None for an article, and where nobody can read it."""
    article_id: str | None = None
    """The article that a prediction was about."""


class Ledger:
    """Joins waiting answers to their texts and records what became of each."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def resolve(self, insertion: Insertion, tasks: Mapping[str, TaskSpec], limit: int, now: datetime) -> int:
        """Join up to `limit` waiting answers whose text is there, oldest first; returns how many left the queue."""
        ready = self._ready(insertion, limit)
        if not ready:
            return 0
        texts = self._texts(ready)
        settled: list[Row] = []
        examples: list[Row] = []
        there = insertion.present("examples", [row["event_id"] for row in ready])
        for row in ready:
            found = texts.get(row["event_id"])
            if row["event_id"] in there:
                # A crash came between the example and this; or the log was read again after a repair.
                settled.append((_with_target(row, found) if found else row) | {"status": "joined", "reason": ""})
                continue
            if found is None:
                continue
            whole = row
            try:
                whole = _with_target(row, found)
                # What a prediction was about is the document of who speaks of the prediction.
                whole = whole | {"document_id": whole["document_id"] or found.article_id} if not whole["article_id"] else whole
                refusal = _refusal(whole, found, tasks)
                joined = [] if refusal else [example_row(whole, found.text, sequence=insertion.next_sequence, now=now)]
            except Exception as error:
                if of_the_machine(error):
                    raise
                # One answer must not hold up the others, at this start and at every later one.
                refusal, joined = f"the program failed on it ({in_words(error)}); please report this", []
                _log.exception("feedback.not_joined", event_id=row["event_id"], next="it is refused; the others are processed")
            settled.append(whole | {"status": "refused" if refusal else "joined", "reason": refusal or ""})
            examples += joined
            insertion.next_sequence += len(joined)
        insertion.append("examples", examples)
        # After the examples: a crash in between leaves answers waiting that are joined again, to nothing new.
        self._tables.replace("feedback", pa.Table.from_pylist(settled, schema=SCHEMAS["feedback"]))
        return len(settled)

    def fate(self, event_id: str) -> Fate | None:
        """Return what became of a label or feedback event, None when it is not stored (yet)."""
        rows = self._tables.scan("feedback", ["task", "status", "reason"], f"event_id = {quoted(event_id)}").to_pylist()
        if rows and rows[0]["status"] != "joined":
            return Fate(event_id, rows[0]["task"], rows[0]["status"], rows[0]["reason"], None)
        found = self._tables.scan(
            "example_enrichment", ["task", "split", "dropped_because"], f"row_id = {quoted(event_id)}"
        ).to_pylist()
        if found and found[0]["split"] in _HELD_OUT:
            reason = found[0]["dropped_because"] or _HELD_OUT[found[0]["split"]]
            status: Literal["set_aside", "held_out"] = "set_aside" if is_mark(reason) else "held_out"
            return Fate(event_id, found[0]["task"], status, reason, event_id)
        if not rows:
            rows = self._tables.scan("examples", ["task"], f"row_id = {quoted(event_id)}").to_pylist()
        return Fate(event_id, rows[0]["task"], "joined", "", event_id) if rows else None

    def _ready(self, insertion: Insertion, limit: int) -> list[Row]:
        waiting = self._tables.scan(
            "feedback", ["event_id", "article_id", "prediction_id", "target", "event_time"], "status = 'waiting'", row_ids=True
        )
        if waiting.num_rows == 0:
            return []
        # Only those whose text is (probably) there, so that answers that wait for ever do not stand in the others' way.
        # A confirmation that repeats nothing waits for what it confirms, whatever article it names.
        names_all = waiting.filter(pc.not_equal(waiting["target"], AS_CITED))
        articles = insertion.article_ids.among(_present(names_all["article_id"]))
        predictions = insertion.seen["predictions"].among(_present(waiting["prediction_id"]))
        examples = insertion.seen["examples"].among(_present(waiting["event_id"]))
        hopes = {"article_id": articles, "prediction_id": predictions, "event_id": examples}
        there = {name: pc.is_in(waiting[name], value_set=pa.array(ids, pa.string())) for name, ids in hopes.items()}
        there["article_id"] = pc.and_(there["article_id"], pc.not_equal(waiting["target"], AS_CITED))
        ready = waiting.filter(reduce(pc.or_, there.values()))
        chosen = ready.sort_by([("event_time", "ascending"), ("event_id", "ascending")]).slice(0, limit)
        if chosen.num_rows == 0:
            return []
        rows = self._tables.take("feedback", chosen["_rowid"].to_pylist(), SCHEMAS["feedback"].names)
        return sorted(rows.to_pylist(), key=lambda row: (row["event_time"], row["event_id"]))

    def _texts(self, rows: Sequence[Row]) -> dict[str, _Text]:
        """Return the text each answer speaks of: what the user saw, else the article as it stood at the time."""
        wanted = sorted({row["prediction_id"] for row in rows if row["prediction_id"]})
        found = self._tables.lookup(
            "predictions", "prediction_id", wanted, ["prediction_id", "task", "text", "answer", "article_id"]
        )
        predictions = {
            row["prediction_id"]: _Text(
                row["text"], row["task"], stored_answer(json.loads(row["answer"]), row["text"]), row["article_id"]
            )
            for row in found.to_pylist()
        }
        about_articles = [row for row in rows if row["prediction_id"] not in predictions and row["target"] != AS_CITED]
        articles = self._articles(about_articles)
        texts = {row["event_id"]: _Text(articles[row["event_id"]], None) for row in about_articles if row["event_id"] in articles}
        cited = {row["event_id"]: predictions[row["prediction_id"]] for row in rows if row["prediction_id"] in predictions}
        return texts | cited

    def _articles(self, rows: Sequence[Row]) -> dict[str, str]:
        """Return, by event id, the text of the revision that was in force at the time of each answer."""
        history = Revisions(self._tables, sorted({row["article_id"] for row in rows if row["article_id"]}))
        # Where the clocks disagree, or the first revisions never came, the earliest is nearest to what the user saw.
        wanted = {
            row["event_id"]: found.row_id
            for row in rows
            if row["article_id"]
            and (found := history.in_force(row["article_id"], row["event_time"]) or history.earliest(row["article_id"]))
        }
        # Only the texts that are needed: an article may have ten thousand revisions.
        found = self._tables.lookup("articles", "row_id", sorted(set(wanted.values())), ["row_id", "text"])
        texts = dict(zip(found["row_id"].to_pylist(), found["text"].to_pylist(), strict=True))
        return {event_id: texts[row_id] for event_id, row_id in wanted.items()}


def _with_target(row: Row, found: _Text) -> Row:
    """Return the row with the target of the answer it confirms, where it repeats none of it."""
    if row["target"] != AS_CITED or found.answer is None:
        return row
    return row | {"target": canonical_json(target_of(found.answer))}


def _refusal(row: Row, found: _Text, tasks: Mapping[str, TaskSpec]) -> str | None:
    if found.task is not None and found.task != row["task"]:
        return f"task: prediction {row['prediction_id']!r} was made for task {found.task!r}, not {row['task']!r}"
    if row["task"] not in tasks:
        return f"task: {row['task']!r} is no longer defined here"
    if row["target"] == AS_CITED:
        return f"target: the answer of prediction {row['prediction_id']!r} cannot be read; send the target with the feedback"
    try:
        read_target(tasks[row["task"]], renamed(json.loads(row["target"]), ()), found.text)
    except DeadLetterError as error:
        return error.reason
    return None


def _present(column: pa.ChunkedArray) -> list[str]:
    return [str(value) for value in pc.unique(column.drop_null()).to_pylist()]
