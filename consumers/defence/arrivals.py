"""Answers of users that were enriched and not judged yet, as rows for the judge, oldest arrival first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow.compute as pc
import structlog

from config.kinds import catalog as kinds
from config.kinds.kind import Answer, Target
from config.sections import FeedbackSettings
from consumers.defence import flips
from consumers.defence.agreement import relation
from consumers.defence.caps import Arrival, Seats
from consumers.events.answers import stored_answer
from consumers.events.schemas import KEY_SOURCE, content_sha256
from consumers.faults import in_words, of_the_machine
from consumers.rows.arriving.event_rows import Row
from consumers.rows.labels.renames import renamed
from consumers.rows.set_aside import mark
from consumers.tables.columns import is_one_of
from consumers.tables.lance import Tables

TABLE = "feedback_judgements"
# One stored further ahead than that was stored before the clock was set back: it has waited.
_LONGEST_WAIT = timedelta(minutes=10)
_NO_KEY = "no key: "
_log = structlog.get_logger(__name__)


class Arrivals:
    """Hands out new answers; those of one that was handed out must be stored before the next are asked for."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        # All with a smaller enrichment number are judged. From the beginning after a restart: a crash may have come in between.
        self._judged_up_to = 0

    def oldest(self, settings: FeedbackSettings, limit: int, waits_since: datetime) -> tuple[list[Row], bool]:
        """Return up to `limit` answers with the cap they are over, and whether more wait.

        One that cites a prediction which is not stored yet is passed over if it arrived after `waits_since`.
        """
        after = f"enriched_seq > {self._judged_up_to}"
        columns = ["row_id", "enriched_seq", "stored_seq"]
        enriched = self._tables.scan("example_enrichment", columns, f"verdict IS NOT NULL AND {after}", row_ids=True)
        judged = self._tables.scan(TABLE, ["row_id"], after)["row_id"].combine_chunks()
        pending = enriched.filter(pc.invert(pc.is_in(enriched["row_id"], value_set=judged)))
        if pending.num_rows == 0:
            self._judged_up_to = pc.max(enriched["enriched_seq"]).as_py() or self._judged_up_to
            return [], False
        self._judged_up_to = pc.min(pending["enriched_seq"]).as_py() - 1
        chosen = pending.sort_by("stored_seq").slice(0, limit)["_rowid"].to_pylist()
        columns = ["row_id", "task", "verdict", "text_sha256", "story_id", "enriched_seq", "stored_seq", "event_time"]
        facts = self._tables.take("example_enrichment", chosen, columns).to_pylist()
        rows, postponed = self._rows(facts, settings, waits_since)
        self._ask_for_seats([row for row in rows if row["over_cap"] is None], settings)
        return rows, postponed > 0 or len(chosen) < pending.num_rows

    def _rows(self, facts: Sequence[Row], settings: FeedbackSettings, waits_since: datetime) -> tuple[list[Row], int]:
        ids = sorted(fact["row_id"] for fact in facts)
        said = self._by_id("examples", ids, ["row_id", "target", "user_id", "source", "prediction_id", "stored_at", "stored_seq"])
        # Where the text came later, the ledger alone knows when the answer did.
        arrivals = self._by_id("feedback", ids, ["event_id", "stored_at", "stored_seq"])
        shown = self._predictions({one["prediction_id"] for one in said.values() if one["prediction_id"]})
        rows: list[Row] = []
        postponed = 0
        for fact in facts:
            one = said.get(fact["row_id"])
            if one is None:
                continue
            arrival = arrivals.get(fact["row_id"], one)
            cited = shown.get(one["prediction_id"])
            if one["prediction_id"] and cited is None and waits_since < arrival["stored_at"] < waits_since + _LONGEST_WAIT:
                postponed += 1
                continue
            # What is said of one text and cites the answer to another cites nothing.
            about_it = cited is not None and all(cited[name] == fact[name] for name in ("task", "text_sha256"))
            rows.append(_row(fact, one, arrival, cited if about_it else None, settings))
        return sorted(rows, key=lambda row: (row["arrived_seq"], row["row_id"])), postponed

    def _ask_for_seats(self, rows: Sequence[Row], settings: FeedbackSettings) -> None:
        """Set `over_cap` for good: a seat that was given is never taken back, nor given later."""
        if not rows:
            return
        seats = Seats(settings)
        columns = ["contributor", "source", "arrived_day", "task", "text_sha256", "story_id"]
        days, users, sources, stories = (
            is_one_of(name, sorted({row[name] for row in rows})) for name in ("arrived_day", "contributor", "source", "story_id")
        )
        # Without a cap there may be any number of them, and nothing to count.
        wanted = [
            f"({days} AND {users})" if settings.max_per_user_day else "false",
            f"({days} AND {sources})" if settings.max_per_source_day else "false",
            stories if settings.max_per_article else "false",
        ]
        for row in self._tables.scan(TABLE, columns, f"over_cap IS NULL AND ({' OR '.join(wanted)})").to_pylist():
            seats.take(Arrival(**row))
        for row in rows:
            row["over_cap"] = seats.ask(Arrival(**{name: row[name] for name in columns}))

    def _by_id(self, table: str, ids: Sequence[str], columns: Sequence[str]) -> dict[str, Row]:
        return {row[columns[0]]: row for row in self._tables.lookup(table, columns[0], ids, columns).to_pylist()}

    def _predictions(self, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        columns = ["prediction_id", "task", "text", "answer", "answered_by"]
        found = self._tables.lookup("predictions", "prediction_id", sorted(ids), columns).to_pylist()
        return {
            row["prediction_id"]: {
                "task": row["task"], "text_sha256": content_sha256(row["text"]),
                "answer": stored_answer(json.loads(row["answer"]), row["text"]), "answered_by": row["answered_by"],
            }
            for row in found
        }  # fmt: skip


def contributor_of(user_id: str, source: str) -> str:
    """Return whose answer it is: a user as one application knows them, where a key vouches for the application.

    Otherwise whoever holds any key could speak, and answer again, in the name of a trusted user of another application. Nor may a
    user without a key be called what such a user is called here.
    """
    if source.startswith(KEY_SOURCE):
        return f"{source} {user_id}"
    return f"{_NO_KEY}{user_id}" if user_id.startswith((KEY_SOURCE, _NO_KEY)) and " " in user_id else user_id


def user_of(contributor: str) -> str:
    """Return the user's id in what `contributor_of` returns. A key's name has no space."""
    if contributor.startswith(KEY_SOURCE) and " " in contributor:
        return contributor.partition(" ")[2]
    return contributor.removeprefix(_NO_KEY)


def _row(fact: Row, said: Row, arrival: Row, prediction: Mapping[str, Any] | None, settings: FeedbackSettings) -> Row:
    """Return the row before it is judged. `prediction` is what the user cites about this text."""
    answer = prediction["answer"] if prediction else None
    # A correction gave that answer, so feedback on it says nothing about a model.
    of_a_correction = prediction is not None and prediction["answered_by"] == "correction"
    row: Row = {
        **fact,
        "story_id": fact["story_id"] or "",
        "user_id": said["user_id"] or "", "source": said["source"] or "", "target": said["target"],
        "contributor": contributor_of(said["user_id"] or "", said["source"] or ""),
        "arrived_at": arrival["stored_at"], "arrived_seq": arrival["stored_seq"],
        "arrived_day": arrival["stored_at"].date().isoformat(),
        "against_the_answer": None, "moves": "[]",
        "over_cap": None, "alarm": None, "evidence": None, "decision": None, "decided_seq": 0,
        "standing": "", "contested": False, "effective_seq": 0, "judged_seq": 0, "cites_a_correction": of_a_correction,
    }  # fmt: skip
    problem = ""
    # Some stored answers cannot come from a model of this task: an earlier version took whatever came, and a task may have
    # changed its kind. What cites such an answer cites nothing.
    for cited in (answer, None) if answer is not None else (None,):
        try:
            target = renamed(json.loads(said["target"]), ())
            return row | (_beside_a_correction if of_a_correction else _beside_the_answer)(cited, target, settings)
        except Exception as error:
            if of_the_machine(error):
                raise
            problem = in_words(error)
            _log.exception("feedback.not_comparable", event_id=fact["row_id"], cites_an_answer=cited is not None)
    return row | unusable(f"its target cannot be read ({problem})")


def unusable(what: str) -> Row:
    """Return what changes in the row of an answer that judging fails on."""
    return {"standing": "unusable", "over_cap": mark(what)}


def _beside_a_correction(answer: Answer | None, target: Target, settings: FeedbackSettings) -> Row:
    """Return what tells of an answer to a correction: to repeat it is to confirm it, and against it, no model was wrong."""
    if answer is not None and kinds.of(answer) is kinds.of(target) and relation(answer, target) == "same":
        return {"against_the_answer": False, "moves": "[]"}
    return _beside_the_answer(None, target, settings)


def _beside_the_answer(answer: Answer | None, target: Target, settings: FeedbackSettings) -> Row:
    if answer is not None and kinds.of(answer) is not kinds.of(target):
        # The task was of another kind when the model answered.
        answer = None
    # Of confirmations too: what a sender calls a correction to another label is the sender's own word.
    moved = flips.moves(answer, target, settings.alarm_confident_from)
    return {
        "against_the_answer": None if answer is None else relation(answer, target) != "same",
        "moves": json.dumps(moved, ensure_ascii=False),
    }
