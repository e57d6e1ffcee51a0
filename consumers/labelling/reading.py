"""Reads from the buffer what people may be asked about, in few looks at narrow columns; texts only of what is shown."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from consumers.defence.views import Quarantined
from consumers.events.schemas import content_sha256
from consumers.labelling.offers import Held, Offer, Pool, Said
from consumers.labelling.served import served
from consumers.rows.eligibility import MADE
from consumers.rows.labels.renames import in_force
from consumers.tables.columns import is_one_of, quoted
from consumers.tables.lance import Snapshot, Tables
from consumers.training_set.targets import usable_target

READ = ("articles", "article_enrichment", "examples", "example_enrichment", "requests", "predictions")
SAID_READ = ("examples", "requests")
_SHARE_OF_TIME = 10.0
_MOST_OFFERS = 2_000
_WEEK = timedelta(days=7)
_SAID = ["row_id", "text_sha256", "annotator", "target", "selected_by", "settles", "note"]
_LABELS_LOOKED_AT = 20_000


@dataclass(frozen=True, slots=True)
class Text:
    """A text, and the article that it is of."""

    text: str
    article_id: str | None
    event_time: datetime


class Pools:
    """What people may be asked about, by task; read again when a table has changed, at most one tenth of the time."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._known: dict[str, _Known] = {}

    def of(
        self, task: TaskSpec, waiting: Sequence[Quarantined], *, min_quality: float, audit_per_week: int
    ) -> tuple[Pool, list[str]]:
        """Return what the lanes of a task draw from, and the labels that may be chosen; `waiting` is feedback."""
        known, versions, now = self._known.get(task.name), self._tables.versions(READ), time.monotonic()
        stands = known is not None and known.task is task and known.audit_per_week == audit_per_week
        if known is None or not stands or (known.versions != versions and now > known.until_s):
            found = pool(self._tables, task, min_quality=min_quality, audit_per_week=audit_per_week)
            labels = labels_in_use(self._tables, task)
            took_s = time.monotonic() - now
            known = _Known(task, audit_per_week, versions, now + _SHARE_OF_TIME * took_s, found, labels)
            self._known[task.name] = known
        return replace(known.pool, held=[held(one) for one in waiting]), known.labels

    def served_text(self, task: TaskSpec, text_sha256: str) -> Text | None:
        """Return a text that was drawn of those that models were asked about; None for any other."""
        known = self._known.get(task.name)
        drawn = known.pool.served if known is not None else served(self._tables, task)
        found = next((one for one in drawn if one.text_sha256 == text_sha256), None)
        rows = self._tables.lookup(
            "predictions", "prediction_id", [found.row_id] if found else [], ["text", "article_id", "event_time"]
        )
        return next((Text(**row) for row in rows.to_pylist()), None)


@dataclass(frozen=True, slots=True)
class _Known:
    task: TaskSpec
    audit_per_week: int
    versions: Mapping[str, int]
    until_s: float
    pool: Pool
    labels: list[str]


def pool(tables: Tables, task: TaskSpec, *, min_quality: float, audit_per_week: int) -> Pool:
    """Return what the lanes of a task draw from, but for the feedback that waits.

    Articles are looked at as far back as `promotion.window_days` before the newest one: what lies behind decides nothing.
    """
    own, spec = f"task = {quoted(task.name)}", in_force(tables, task)
    by_people_alone = f"{own} AND verdict IS NULL AND NOT {is_one_of('origin', MADE)}"
    labels = tables.scan("examples", ["row_id", "text_sha256", "annotator"], by_people_alone)
    placed = tables.scan("example_enrichment", ["story_id"], f"{by_people_alone} AND split = 'test'")
    articles = articles_within(tables, task.promotion.window_days, min_quality)
    labelled = labels["text_sha256"].combine_chunks()
    test = articles.filter(pc.equal(articles["split"], "test"))
    said = _said(tables, task, labels.filter(pc.is_valid(labels["annotator"]))["row_id"].to_pylist())
    # What people with a name said stays in sight: a second person may label it too.
    by_people = pa.array([one.text_sha256 for one in said], pa.string())
    open_ = pc.or_(pc.invert(pc.is_in(test["text_sha256"], labelled)), pc.is_in(test["text_sha256"], by_people))
    return Pool(
        held_out=_offers(test.filter(open_).slice(0, _MOST_OFFERS)),
        drawn=_offers(_drawn(articles, audit_per_week)),
        said=said,
        labelled=frozenset(labelled.to_pylist()),
        measured=frozenset(placed["story_id"].drop_null().to_pylist()),
        changed=_changed(tables, spec) if spec.splits else (),
        split=frozenset(spec.splits),
        served=served(tables, task),
    )


def text_of(tables: Tables, text_sha256: str, task: str) -> Text | None:
    """Return a text that an article or an example of the task holds; None where neither does, any more."""
    where = f"text_sha256 = {quoted(text_sha256)}"
    for table, more in (("articles", ""), ("examples", f" AND task = {quoted(task)}")):
        rows = tables.scan(table, ["text", "article_id", "event_time"], where + more).sort_by([("event_time", "descending")])
        if rows.num_rows:
            found: Mapping[str, Any] = rows.slice(0, 1).to_pylist()[0]
            return Text(found["text"], found["article_id"], found["event_time"])
    return None


def labels_in_use(tables: Tables, task: TaskSpec) -> list[str]:
    """Return the labels that a person may choose: those of the task file in its order, then those that labels carry, by name.

    Of a closed task only the first.
    """
    task = in_force(tables, task)
    if task.labels == "closed":
        return list(task.label_names)
    rows = tables.scan("examples", ["target", "event_time"], f"task = {quoted(task.name)} AND verdict IS NULL")
    newest = rows.sort_by([("event_time", "descending")]).slice(0, _LABELS_LOOKED_AT)["target"]
    kind = kinds.get(task.kind)
    found: set[str] = set()
    for target in pc.unique(newest).to_pylist():
        usable = usable_target(target, task, (task.renames,))
        found |= set(kind.labels(json.loads(usable))) if usable is not None else set()
    return [*task.label_names, *sorted(found.difference(task.label_names, task.gone))]


def held(one: Quarantined) -> Held:
    """Return feedback that waits, or waited, as lanes have it."""
    why = one.alarm or one.standing
    return Held(one.event_id, content_sha256(one.text), one.user_id, json.loads(one.target), why, one.arrived_at)


def articles_within(tables: Tables | Snapshot, window_days: float, min_quality: float) -> pa.Table:
    """Return the newest revision of each article that is good enough, of the window, newest first, each text once."""
    columns = ["row_id", "event_time", "text_sha256", "story_id", "split", "quality"]
    found = tables.scan("article_enrichment", columns, "split != 'dropped'")
    newest = pc.max(found["event_time"]).as_py()
    if newest is None:
        return _empty()
    start = pa.scalar(newest - timedelta(days=window_days), found["event_time"].type)
    found = found.filter(pc.and_(pc.greater_equal(found["event_time"], start), pc.greater_equal(found["quality"], min_quality)))
    known = tables.scan("articles", ["row_id", "article_id", "event_time", "stored_seq"])
    # By all revisions: one that was not enriched yet is the newest all the same.
    revisions = known.sort_by([("event_time", "descending"), ("stored_seq", "descending")])
    newest_of_each = _firsts(revisions, "article_id").select(["row_id", "article_id"])
    found = found.join(newest_of_each, "row_id", join_type="inner")
    return _firsts(found.sort_by([("event_time", "descending"), ("row_id", "ascending")]), "text_sha256")


def _changed(tables: Tables, task: TaskSpec) -> list[Offer]:
    """Return the texts of which every label that anybody gave was split since, newest first; `task` has its labels in force."""
    columns = ["row_id", "article_id", "text_sha256", "event_time", "target"]
    by_people = f"task = {quoted(task.name)} AND verdict IS NULL AND NOT {is_one_of('origin', MADE)}"
    rows = tables.scan("examples", columns, by_people)
    sides = tables.scan("example_enrichment", ["row_id", "story_id", "split"], by_people)
    kind, waiting, settled = kinds.get(task.kind), list[dict[str, Any]](), set[str]()
    for row in rows.join(sides, "row_id", join_type="left outer").sort_by([("event_time", "descending")]).to_pylist():
        usable = usable_target(row["target"], task, (task.renames,))
        if usable is None:
            continue
        if task.splits.keys() & set(kind.labels(json.loads(usable))):
            waiting.append(row)
        else:
            settled.add(row["text_sha256"])
    once = {row["text_sha256"]: row for row in reversed(waiting) if row["text_sha256"] not in settled}
    return [
        Offer(
            row["row_id"], row["article_id"] or "", row["text_sha256"], row["story_id"], row["event_time"].astimezone(UTC),
            row["split"] == "test",
        )
        for row in reversed(once.values())
    ][:_MOST_OFFERS]  # fmt: skip


def _drawn(articles: pa.Table, per_week: int) -> pa.Table:
    """Return of each week (UTC) the articles whose texts have the lowest hashes: a draw that nobody can sway, and no model sees.

    Whole weeks come in full, newest first, so that each is a sample of its own.
    """
    if not articles.num_rows or not per_week:
        return articles.slice(0, 0)
    weeks = pc.divide(pc.cast(articles["event_time"], pa.int64()), _WEEK // timedelta(microseconds=1))
    articles = articles.append_column("week", weeks).sort_by([("week", "descending"), ("text_sha256", "ascending")])
    parts = [
        articles.filter(pc.equal(articles["week"], week)).slice(0, per_week) for week in pc.unique(articles["week"]).to_pylist()
    ]
    return pa.concat_tables(parts)


def _firsts(rows: pa.Table, column: str) -> pa.Table:
    """Return the first row of each value of a column, in order."""
    numbered = rows.append_column("_place", pa.array(range(rows.num_rows), pa.int64()))
    places = numbered.group_by(column).aggregate([("_place", "min")])["_place_min"].combine_chunks()
    return rows.take(places.take(pc.sort_indices(places)))


def _empty() -> pa.Table:
    time = pa.timestamp("us", tz="UTC")
    names = {"row_id": pa.string(), "event_time": time, "text_sha256": pa.string(), "story_id": pa.string()}
    return pa.schema(
        [*names.items(), ("split", pa.string()), ("quality", pa.float32()), ("article_id", pa.string())]
    ).empty_table()


def _offers(rows: pa.Table) -> list[Offer]:
    return [
        Offer(
            row["row_id"], row["article_id"], row["text_sha256"], row["story_id"], row["event_time"].astimezone(UTC),
            row["split"] == "test",
        )
        for row in rows.to_pylist()
    ]  # fmt: skip


def said_by_people(tables: Tables | Snapshot, task: TaskSpec) -> list[Said]:
    """Return what people with a name said of a task's texts, oldest first, under the labels in force."""
    named = f"task = {quoted(task.name)} AND verdict IS NULL AND annotator IS NOT NULL AND NOT {is_one_of('origin', MADE)}"
    return _said(tables, task, tables.scan("examples", ["row_id"], named)["row_id"].to_pylist())


def _said(tables: Tables | Snapshot, task: TaskSpec, row_ids: Sequence[str]) -> list[Said]:
    """Return what people with a name said, oldest first, under the names of today; what fits the task no more is left out."""
    if not row_ids:
        return []
    rows = tables.lookup("examples", "row_id", row_ids, [*_SAID, "stored_seq"]).sort_by("stored_seq").to_pylist()
    task = in_force(tables, task)
    found = []
    for row in rows:
        target = usable_target(row["target"], task, (task.renames,))
        if target is not None:
            found.append(
                Said(
                    row["text_sha256"], row["annotator"], json.loads(target), row["row_id"], row["selected_by"],
                    bool(row["settles"]), row["note"],
                )
            )  # fmt: skip
    return found
