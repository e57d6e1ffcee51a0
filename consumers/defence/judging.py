"""Judges feedback behind enrichment: whether a run may learn from what a user said of a text.

Every answer gets a row in `feedback_judgements`; without one it neither trains nor counts. All that a judgement follows from
stands in the tables, so nothing is lost with the process: it only remembers what it has looked at.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from config.kinds.kind import Target
from config.sections import FeedbackSettings
from config.tasks import TaskSpec
from consumers.defence import alarms, conflicts, trust
from consumers.defence.agreement import relation
from consumers.defence.alarms import Raised
from consumers.defence.arrivals import TABLE, Arrivals, unusable
from consumers.defence.conflicts import Opinion
from consumers.defence.gold import GoldLabels, texts_beside_new_gold
from consumers.defence.records import User, evidence_counts, record_of, user_of
from consumers.defence.reviews import Reviews, review_of
from consumers.defence.standings import SILENT
from consumers.faults import in_words, isolated, of_the_machine
from consumers.rows.arriving.event_rows import Row
from consumers.rows.enrichment_rows import EnrichmentRows
from consumers.rows.labels.renames import Renames
from consumers.tables.columns import SCHEMAS, is_one_of
from consumers.tables.lance import Tables

_log = structlog.get_logger(__name__)

Text = tuple[str, str]
"""Task and SHA-256 of a text."""


@dataclass(frozen=True, slots=True)
class JudgeOutcome:
    """What one step did."""

    judged: int = 0
    """Answers judged for the first time, and texts judged again."""
    waiting: bool = False
    """Whether answers or texts are left for the next step."""
    raised: tuple[Raised, ...] = ()
    """Alarms that were not up before."""


@dataclass(frozen=True, slots=True)
class _Change:
    """A user's record as it was stored, and as it is now."""

    before: trust.Record
    now: trust.Record


class Judge:
    """Judges new answers, and old ones again when their gold, their user's trust or a review has changed. One thread steps."""

    def __init__(self, tables: Tables, enrichment: EnrichmentRows, tasks: Mapping[str, TaskSpec]) -> None:
        self._tables = tables
        self._enrichment = enrichment
        self._tasks = tasks
        self._forget()

    def _forget(self) -> None:
        """Know nothing of what was looked at, as at a start."""
        self._arrivals = Arrivals(self._tables)
        self._reviews = Reviews()
        self._gold_up_to = 0
        self._reviews_up_to = -1
        self._unsettled: set[Text] = set()
        """Texts to be judged again."""
        self._reviewed: set[str] = set()
        """Answers that have no say, and that a person has decided about."""
        self._started = False

    def step(self, settings: FeedbackSettings, limit: int, waits_since: datetime) -> JudgeOutcome:
        """Judge up to `limit` new answers, oldest arrival first, and up to `limit` texts again.

        An answer that cites a prediction which is not stored waits for it if it arrived after `waits_since`.
        """
        try:
            return self._step(settings, limit, waits_since)
        except BaseException:
            # Texts that were to be judged again may have been taken up and not judged.
            self._forget()
            raise

    def _step(self, settings: FeedbackSettings, limit: int, waits_since: datetime) -> JudgeOutcome:
        tasks = set() if self._started else self._resume(settings)
        self._note_gold_and_reviews()
        fresh, more = self._arrivals.oldest(settings, limit, waits_since)
        again = {self._unsettled.pop() for _ in range(min(limit, len(self._unsettled)))}
        self._judge(again | {_text(row) for row in fresh}, settings, fresh=fresh)
        raised: list[Raised] = []
        for task in sorted(tasks | {row["task"] for row in fresh}):
            found = alarms.evaluate(self._tables, task, settings)
            held = {row_id: move for row_id, (_, move) in found.held.items()}
            self._judge({(task, text_sha256) for text_sha256, _ in found.held.values()}, settings, held=held)
            raised += found.raised
        return JudgeOutcome(len(fresh) + len(again), more or bool(self._unsettled), tuple(raised))

    def _resume(self, settings: FeedbackSettings) -> set[str]:
        """Find what a crash may have left undone, or other settings may change; return the tasks whose alarms to check."""
        self._started = True
        columns = ["task", "contributor", "evidence", "standing", "text_sha256", "contested"]
        rows = self._tables.scan(TABLE, columns)
        excluded = {user for user, counts in evidence_counts(rows).items() if _is_excluded(record_of(counts), settings)}
        self._unsettled |= _texts(rows.filter(rows["contested"]))
        suspects = pc.or_(
            pc.equal(rows["standing"], "distrusted"),
            pc.is_in(rows["contributor"], value_set=pa.array(sorted({name for _, name in excluded}), pa.string())),
        )
        for row in rows.filter(suspects).to_pylist():
            if (row["standing"] == "distrusted") != ((row["task"], row["contributor"]) in excluded):
                self._unsettled.add(_text(row))
        return set(pc.unique(rows["task"]).to_pylist())

    def _note_gold_and_reviews(self) -> None:
        """Find the texts with new labels or reviews since the last check."""
        highest = self._enrichment.highest_seq
        self._unsettled |= texts_beside_new_gold(self._tables, self._gold_up_to)
        self._gold_up_to = highest
        where = f"kind = 'feedback_review' AND stored_seq > {self._reviews_up_to}"
        stored = self._tables.scan("requests", ["event_id", "stored_seq", "body"], where).sort_by("stored_seq").to_pylist()
        for row in stored:
            self._reviews_up_to = row["stored_seq"]
            try:
                review = review_of(row["stored_seq"], json.loads(row["body"]))
                found = self._tables.scan(TABLE, ["row_id", "task", "text_sha256", "standing"], review.where)
            except Exception as error:
                if of_the_machine(error):
                    raise
                _log.exception(
                    "feedback.review_unusable", event_id=row["event_id"], next="the decision is ignored; the others are applied"
                )
                continue
            self._reviews.add(review)
            self._unsettled |= _texts(found)
            self._reviewed |= {row["row_id"] for row in found.to_pylist() if row["standing"] in SILENT}

    def _judge(
        self, texts: set[Text], settings: FeedbackSettings, *, fresh: Sequence[Row] = (), held: Mapping[str, str] | None = None
    ) -> None:
        """Judge all answers about these texts and store what has changed; `held` are moves that an alarm holds, by row id.

        Where it fails on a text, the new answers about it are set aside, and those that were judged stay as they are.
        """
        _, faulty = isolated(
            sorted(texts), lambda some: self._judge_texts(set(some), settings, fresh, held or {}), check=self._check
        )
        for one in faulty:
            lost = [row | unusable(f"judging failed on it ({in_words(one.error)})") for row in fresh if _text(row) == one.row]
            _log.error(
                "feedback.not_judged", task=one.row[0], event_ids=[row["row_id"] for row in lost], exc_info=one.error,
                next="these answers are set aside; the others are judged",
            )  # fmt: skip
            self._store(lost, {})

    def _check(self) -> None:
        self._tables.count(TABLE)

    def _judge_texts(
        self, texts: set[Text], settings: FeedbackSettings, all_fresh: Sequence[Row], held: Mapping[str, str]
    ) -> None:
        # A copy: what fails here is judged again in smaller parts.
        fresh = [dict(row) for row in all_fresh if _text(row) in texts]
        self._store([row for row in fresh if row["standing"] == "unusable"], {})
        fresh = [row for row in fresh if row["standing"] != "unusable"]
        stored = self._about(texts)
        before = {row["row_id"]: dict(row) for row in stored}
        rows = sorted((row for row in (*stored, *fresh) if _text(row) in texts), key=_text)
        if not rows:
            return
        for row in rows:
            row["alarm"] = held.get(row["row_id"], row["alarm"])
            if (review := self._reviews.about(row)) is not None:
                row |= {"decision": review.decision, "decided_seq": review.stored_seq}
        renames = Renames(self._tables, self._tasks)
        gold = GoldLabels(self._tables, rows, renames)
        targets = {row["row_id"]: renames.applied(row["task"], row["target"]) for row in rows}
        groups = {text: list(group) for text, group in groupby(rows, key=_text)}
        for group in groups.values():
            _gather_evidence(group, targets, gold)
        changes = self._changes(rows, before)
        for (task, text_sha256), group in groups.items():
            opinions = [self._opinion(row, targets[row["row_id"]], changes[user_of(row)].now, settings) for row in group]
            judged = conflicts.judge(opinions, gold.of_text(task, text_sha256), settings.majority)
            for row in group:
                row |= {"standing": judged.standings[row["row_id"]], "contested": judged.contested}
        self._store(rows, before)
        # In these texts the changed trust has been counted already.
        self._unsettled |= self._shaken(changes, settings) - texts

    def _about(self, texts: set[Text]) -> list[Row]:
        """Return the answers about these texts that have a say, or that a person has decided about.

        Whoever answers ten thousand times about one text must not make each further answer dearer.
        """
        columns = SCHEMAS[TABLE].names
        hashes = sorted({text_sha256 for _, text_sha256 in texts})
        having_a_say = f"(decision IS NOT NULL OR NOT {is_one_of('standing', SILENT)})"
        rows = self._tables.lookup(TABLE, "text_sha256", hashes, columns, having_a_say).to_pylist()
        known = {row["row_id"] for row in rows}
        decided = self._tables.lookup(TABLE, "row_id", sorted(self._reviewed - known), columns).to_pylist()
        self._reviewed -= {row["row_id"] for row in decided if _text(row) in texts}
        return [*rows, *(row for row in decided if _text(row) in texts)]

    def _changes(self, rows: Sequence[Row], before: Mapping[str, Row]) -> dict[User, _Change]:
        """Return how the records of these answers' users change."""
        names = sorted({row["contributor"] for row in rows})
        stored = evidence_counts(self._tables.lookup(TABLE, "contributor", names, ["task", "contributor", "evidence"]))
        now: dict[User, Counter[str | None]] = {user: Counter(stored[user]) for user in map(user_of, rows)}
        for row in rows:
            if row["row_id"] in before:
                now[user_of(row)][before[row["row_id"]]["evidence"]] -= 1
            now[user_of(row)][row["evidence"]] += 1
        return {user: _Change(record_of(stored[user]), record_of(counts)) for user, counts in now.items()}

    def _opinion(self, row: Row, target: Target, record: trust.Record, settings: FeedbackSettings) -> Opinion:
        task = self._tasks.get(row["task"])
        return Opinion(
            row_id=row["row_id"],
            contributor=row["contributor"],
            target=target,
            arrived_seq=row["arrived_seq"],
            vote=trust.trust(record) * (task.feedback.weight(row["verdict"]) if task else 1.0),
            over_cap=row["over_cap"] is not None,
            excluded=_is_excluded(record, settings),
            alarmed=row["alarm"] is not None,
            decision=row["decision"],
            decided_seq=row["decided_seq"],
        )

    def _store(self, rows: Sequence[Row], before: Mapping[str, Row]) -> None:
        changed = [row for row in rows if row != before.get(row["row_id"])]
        if not changed:
            return
        # In effect from a number of its own, above all that runs have seen: what is let in later is new to the next run.
        number = self._enrichment.next_number()
        for row in changed:
            row["effective_seq"] = (row["effective_seq"] or number) if row["standing"] == "effective" else 0
            row["judged_seq"] = number
        self._tables.upsert(TABLE, changed)

    def _shaken(self, changes: Mapping[User, _Change], settings: FeedbackSettings) -> set[Text]:
        """Return the texts to judge again because the trust of a user changed: all of whoever is now excluded, or no more."""
        moved = {user: change for user, change in changes.items() if change.before != change.now}
        turned = {
            user for user, change in moved.items() if _is_excluded(change.before, settings) != _is_excluded(change.now, settings)
        }
        texts: set[Text] = set()
        for users, where in ((turned, "true"), (moved.keys() - turned, "contested")):
            if users:
                of_users = f"{where} AND {is_one_of('contributor', sorted({name for _, name in users}))}"
                rows = self._tables.scan(TABLE, ["task", "contributor", "text_sha256"], of_users).to_pylist()
                texts |= {_text(row) for row in rows if user_of(row) in users}
        return texts


def _gather_evidence(group: Sequence[Row], targets: Mapping[str, Target], gold: GoldLabels) -> None:
    """Set the evidence of each answer about one text for its user; one over a cap, or not its user's last, gives none."""
    in_order = sorted(group, key=lambda row: (row["arrived_seq"], row["row_id"]))
    last = {row["contributor"]: row["row_id"] for row in in_order if row["over_cap"] is None}
    for row in group:
        row["evidence"] = None
        if row["decision"] is not None or last.get(row["contributor"]) == row["row_id"]:
            label = gold.of_text(*_text(row)) or gold.of_story(row["task"], row["story_id"])
            row["evidence"] = trust.evidence(
                verdict=row["verdict"],
                decision=row["decision"],
                gold=relation(targets[row["row_id"]], label) if label else None,
                against_the_answer=row["against_the_answer"],
            )


def _is_excluded(record: trust.Record, settings: FeedbackSettings) -> bool:
    return trust.is_excluded(record, min_evidence=settings.trust_min_evidence, exclude_below=settings.exclude_below)


def _texts(rows: pa.Table) -> set[Text]:
    return set(zip(rows["task"].to_pylist(), rows["text_sha256"].to_pylist(), strict=True))


def _text(row: Row) -> Text:
    return row["task"], row["text_sha256"]
