"""Read models of the defence: standings of feedback, open alarms, what waits for a person, and who is trusted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.sections import FeedbackSettings
from config.tasks import TaskSpec
from consumers.defence import standings, trust
from consumers.defence.arrivals import TABLE
from consumers.defence.records import User, evidence_counts, record_of, user_of
from consumers.defence.standings import Standing
from consumers.fitness.unfit import Unfit
from consumers.rows.eligibility import eligibility
from consumers.tables.columns import is_one_of, quoted
from consumers.tables.lance import Tables

_SHOWN = ["row_id", "task", "user_id", "source", "verdict", "standing", "alarm", "target", "arrived_at", "arrived_seq"]


@dataclass(frozen=True, slots=True)
class Alarm:
    """A label-flip alarm that is up: corrections it holds until a person has decided."""

    move: str
    held: int
    users: int
    since: datetime
    """When the first of them arrived."""


@dataclass(frozen=True, slots=True)
class Defence:
    """The standings of one task's feedback."""

    standings: Mapping[str, int]
    """Answers by standing."""
    alarms: tuple[Alarm, ...]
    quarantined: int = 0
    """Answers that wait for a person: those whose text may train, so that the decision matters."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One answer that waits for a person."""

    event_id: str
    task: str
    user_id: str
    source: str
    verdict: str
    standing: Standing
    alarm: str | None
    target: str
    """JSON."""
    text: str
    arrived_at: datetime


@dataclass(frozen=True, slots=True)
class UserView:
    """What is known of one user in one task."""

    task: str
    contributor: str
    """The user id; behind `key:NAME` and a space where it was posted with an API key."""
    trust: float
    excluded: bool
    agreed: int
    unearned: int
    contradicted: int
    answers: int
    effective: int


class Views:
    """Reads; what is asked every few seconds is read again only when something was judged."""

    def __init__(self, tables: Tables, tasks: Mapping[str, TaskSpec], min_quality: float) -> None:
        self._tables = tables
        self._tasks = tasks
        self._min_quality = min_quality
        self._known: dict[str, Defence] = {}
        self._version: Mapping[str, int] = {}
        self._unfit: dict[str, Unfit] = {}

    def use_tasks(self, tasks: Mapping[str, TaskSpec]) -> None:
        """Go by these task files from now on."""
        self._tasks, self._known, self._unfit = tasks, {}, {}

    def defence(self, task: str) -> Defence:
        """Return the standings of a task's feedback."""
        version = self._tables.versions([TABLE, "example_enrichment"])
        if version != self._version:
            self._version, self._known = version, {}
        if task not in self._known:
            rows = self._tables.scan(TABLE, ["standing", "alarm", "contributor", "arrived_at"], f"task = {quoted(task)}")
            counted = rows.group_by("standing").aggregate([([], "count_all")]).to_pylist()
            counts = {row["standing"]: row["count_all"] for row in sorted(counted, key=lambda row: row["standing"])}
            alarms = _alarms(rows.filter(pc.equal(rows["standing"], "alarm")))
            self._known[task] = Defence(counts, alarms, self._undecided(task, ["row_id"]).num_rows)
        return self._known[task]

    def quarantined(self, task: str | None, limit: int) -> list[Quarantined]:
        """Return answers that wait for a person, oldest arrival first."""
        return self._with_texts(self._undecided(task, _SHOWN).sort_by("arrived_seq").slice(0, limit))

    def by_ids(self, row_ids: Sequence[str]) -> list[Quarantined]:
        """Return judged answers by their ids, oldest arrival first, whatever was decided about them."""
        return self._with_texts(self._tables.lookup(TABLE, "row_id", row_ids, _SHOWN).sort_by("arrived_seq"))

    def _with_texts(self, judged: pa.Table) -> list[Quarantined]:
        rows = judged.to_pylist()
        found = self._tables.lookup("examples", "row_id", [row["row_id"] for row in rows], ["row_id", "text"]).to_pylist()
        texts = {row["row_id"]: row["text"] for row in found}
        return [
            Quarantined(
                event_id=row["row_id"], text=texts.get(row["row_id"], ""),
                **{name: row[name] for name in _SHOWN if name not in ("row_id", "arrived_seq")},
            )
            for row in rows
        ]  # fmt: skip

    def _undecided(self, task: str | None, columns: Sequence[str]) -> pa.Table:
        """Return the answers that a person is asked about: no decision lets in what is held out, or too poor to train on."""
        where = is_one_of("standing", standings.QUARANTINED) + (f" AND task = {quoted(task)}" if task else "")
        rows = self._tables.scan(TABLE, sorted({*columns, "row_id", "task", "verdict"}), where)
        ids, asked = rows["row_id"].to_pylist(), ["row_id", "split", "selected_by", "quality", "task", "enriched_seq"]
        facts = self._tables.lookup("example_enrichment", "row_id", ids, asked)
        known = {row["row_id"]: row for row in facts.to_pylist()}
        for name in {row["task"] for row in known.values()} & self._tasks.keys():
            of_task = [row for row in known.values() if row["task"] == name]
            unfit = self._unfit.setdefault(name, Unfit(self._tables, self._tasks[name]))
            for row, breaks in zip(of_task, unfit.of(np.array([row["enriched_seq"] for row in of_task])), strict=True):
                row["unfit"] = breaks
        matters = [
            row["task"] in self._tasks
            and row["row_id"] in known
            and self._may_train(known[row["row_id"]], row["verdict"], self._tasks[row["task"]])
            for row in rows.select(["row_id", "task", "verdict"]).to_pylist()
        ]
        return rows.filter(pa.array(matters, pa.bool_())).select(list(columns))

    def _may_train(self, row: Mapping[str, Any], verdict: str | None, task: TaskSpec) -> bool:
        good = row["quality"] >= self._min_quality and not row["unfit"]
        return eligibility(row["split"], row["selected_by"], verdict, good=good, feedback=task.feedback) == "train"

    def users(self, task: str | None, settings: FeedbackSettings) -> list[UserView]:
        """Return what is known of the users, the least trusted first."""
        columns = ["task", "contributor", "evidence", "standing"]
        rows = self._tables.scan(TABLE, columns, f"task = {quoted(task)}" if task else None)
        answers: dict[User, dict[str, int]] = defaultdict(dict)
        for row in rows.group_by(["task", "contributor", "standing"]).aggregate([([], "count_all")]).to_pylist():
            answers[user_of(row)][row["standing"]] = row["count_all"]
        views = []
        for user, counts in evidence_counts(rows).items():
            record = record_of(counts)
            excluded = trust.is_excluded(record, min_evidence=settings.trust_min_evidence, exclude_below=settings.exclude_below)
            views.append(
                UserView(
                    *user, trust.trust(record), excluded, record.agreed, record.unearned, record.contradicted,
                    sum(answers[user].values()), answers[user].get("effective", 0),
                )
            )  # fmt: skip
        return sorted(views, key=lambda view: (view.trust, view.task, view.contributor))


def _alarms(rows: pa.Table) -> tuple[Alarm, ...]:
    measures: Sequence[tuple[str, str]] = [("contributor", "count_distinct"), ("arrived_at", "min"), ("contributor", "count")]
    found = rows.group_by("alarm").aggregate(list(measures)).to_pylist()
    return tuple(
        Alarm(row["alarm"], row["contributor_count"], row["contributor_count_distinct"], row["arrived_at_min"])
        for row in sorted(found, key=lambda row: str(row["alarm"]))
    )
