"""What was found out about texts, recorded once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from consumers.rows.arriving.seen import SeenIds
from consumers.rows.eligibility import RELEASED, WITHDRAWN, WITHHELD
from consumers.tables.columns import ENRICHMENT_OF, EXAMPLE_FACTS, SCHEMAS, TextTable, is_one_of, moment, quoted
from consumers.tables.lance import Tables
from consumers.text import ngrams
from consumers.text.outlines import Outline

Split = Literal["train", "test", "anchor", "dropped"]
_ROWS_PER_CHANGE = 1_000


@dataclass(frozen=True, slots=True)
class Enrichment:
    """What was found out about one row."""

    row_id: str
    language: str | None
    quality: float
    """0..1."""
    quality_reasons: tuple[str, ...]
    embedding: Sequence[float] | npt.NDArray[np.float32] | None
    encoder_id: str | None
    story_id: str | None
    split: Split
    dropped_because: str | None = None
    outline: Outline = ()
    words: int | None = None
    """How many the text has; of a long one estimated from its beginning."""


@dataclass(frozen=True, slots=True)
class StoryMember:
    """One row's place in a story."""

    row_id: str
    story_id: str
    split: Split
    event_time: datetime
    text_sha256: str
    encoder_id: str
    embedding: npt.NDArray[np.float32]
    counts: bool = True
    """Whether its split says anything of its story: not of what users wrote and was never let into training or testing."""
    outline: Outline = ()


@dataclass(frozen=True, slots=True)
class StoryRow:
    """What a placed row says of its story. Equal texts share a story, so that it may lie at any distance in time."""

    row_id: str
    story_id: str
    split: Split
    counts: bool = True
    """As a member's."""


class EnrichmentRows:
    """The two enrichment tables. A row is enriched once; its split goes from `train` to `dropped` or `test`, or on to `anchor`.

    Or from `test` to `train`, when it retires; from then on nothing but `dropped` is open to it. A label that was withheld
    until a pair of models is decided is released once, and then counts as enriched anew.
    """

    def __init__(self, tables: Tables, highest_seq: int = 0) -> None:
        """Number what is enriched from here on above `highest_seq` and above every row that is there."""
        self._tables = tables
        self._seen: dict[str, SeenIds] = {}
        self._texts = SeenIds()
        self._next_seq = highest_seq + 1
        for table in ENRICHMENT_OF.values():
            rows = tables.scan(table, ["row_id", "enriched_seq", "text_sha256"])
            self._seen[table] = SeenIds(rows["row_id"].to_pylist())
            self._texts.add(rows["text_sha256"].to_pylist())
            self._next_seq = max(self._next_seq, (pc.max(rows["enriched_seq"]).as_py() or 0) + 1)
        judged = tables.scan("feedback_judgements", ["judged_seq"])["judged_seq"]
        self._next_seq = max(self._next_seq, (pc.max(judged).as_py() or 0) + 1)

    @property
    def highest_seq(self) -> int:
        """The highest enrichment number ever given, 0 before the first."""
        return self._next_seq - 1

    def next_number(self) -> int:
        """Give away the next enrichment number: a judgement of feedback takes effect from one of its own."""
        self._next_seq += 1
        return self._next_seq - 1

    def numbered_up_to(self, number: int) -> None:
        """Give only numbers above `number` from now on."""
        self._next_seq = max(self._next_seq, number + 1)

    def apply(self, table: TextTable, findings: Sequence[Enrichment]) -> int:
        """Record findings; a row that has some already, or is gone, is passed over. Returns how many were recorded."""
        target = ENRICHMENT_OF[table]
        suspects = self._seen[target].among([one.row_id for one in findings])
        done = set(self._tables.lookup(target, "row_id", suspects, ["row_id"])["row_id"].to_pylist())
        wanted = {one.row_id: one for one in findings if one.row_id not in done}
        columns = ["row_id", "text_sha256", "stored_seq", "event_time", "stored_at"]
        columns += [*EXAMPLE_FACTS, "anchor"] if table == "examples" else []
        facts = self._tables.lookup(table, "row_id", sorted(wanted), columns)
        # In one order, whatever order the table gives them in: numbers are the same when a portion is enriched again.
        facts = facts.sort_by([("event_time", "ascending"), ("row_id", "ascending")])
        rows: list[dict[str, Any]] = []
        for fact in facts.to_pylist():
            one = wanted[fact["row_id"]]
            rows.append(
                fact
                | {
                    "enriched_seq": self._next_seq + len(rows), "split": one.split, "language": one.language,
                    "quality": one.quality, "quality_reasons": json.dumps(one.quality_reasons), "encoder_id": one.encoder_id,
                    "story_id": one.story_id, "dropped_because": one.dropped_because,
                    "outline": list(one.outline), "words": one.words,
                    "embedding": None if one.embedding is None else np.asarray(one.embedding, dtype=np.float32),
                }
            )  # fmt: skip
        self._seen[target].add(row["row_id"] for row in rows)
        self._texts.add(row["text_sha256"] for row in rows)
        # The numbers are taken first: a write that fails may have reached the table all the same, and none is given twice.
        self._next_seq += len(rows)
        self._tables.append(target, rows)
        return len(rows)

    def take_out(self, row_ids: Mapping[str, tuple[Literal["dropped", "test"], str]]) -> int:
        """Take rows of split `train` out of training for good: where each goes, and why. Returns how many there were."""
        return sum(self._move(table, "train", row_ids) for table in ENRICHMENT_OF.values())

    def anchor(self, row_ids: Mapping[str, str]) -> int:
        """Let rows of split `test` join the anchor set for good; each with the reason. Returns how many there were."""
        return self._move(ENRICHMENT_OF["examples"], "test", {row_id: ("anchor", why) for row_id, why in row_ids.items()})

    def _move(self, table: str, before: Split, row_ids: Mapping[str, tuple[Split, str]]) -> int:
        moved = 0
        ids = list(row_ids)
        # In portions, so that no filter and no rewriting grows with the table.
        for start in range(0, len(ids), _ROWS_PER_CHANGE):
            where = f"split = '{before}' AND {is_one_of('row_id', ids[start : start + _ROWS_PER_CHANGE])}"
            rows = self._tables.scan(table, SCHEMAS[table].names, where)
            changes = [row_ids[row_id] for row_id in rows["row_id"].to_pylist()]
            splits, reasons = [to for to, _ in changes], [why for _, why in changes]
            told: dict[str, Sequence[Any]] = {"split": splits, "dropped_because": reasons}
            self._tables.replace(table, _changed(rows, told))
            moved += rows.num_rows
        return moved

    def retire(self, table: str, row_ids: Mapping[str, str], now: datetime, *, as_new: bool) -> int:
        """Let held-out rows train from now on: why, by id; in one step. Returns how many there were.

        `as_new`: they count as enriched anew, as labels do.
        """
        rows = self._tables.lookup(table, "row_id", sorted(row_ids), SCHEMAS[table].names, "split = 'test'")
        changes: dict[str, Sequence[Any]] = {
            "split": ["train"] * rows.num_rows, "retired_at": [now] * rows.num_rows,
            "retired_because": [row_ids[row_id] for row_id in rows["row_id"].to_pylist()],
        }  # fmt: skip
        if as_new:
            changes["enriched_seq"] = [self.next_number() for _row in range(rows.num_rows)]
        self._tables.replace(table, _changed(rows, changes))
        return int(rows.num_rows)

    def release(self, row_ids: Sequence[str]) -> int:
        """Let labels that were withheld train from now on, as rows that are new. Returns how many were withheld."""
        released = 0
        table = ENRICHMENT_OF["examples"]
        for start in range(0, len(row_ids), _ROWS_PER_CHANGE):
            some = is_one_of("row_id", row_ids[start : start + _ROWS_PER_CHANGE])
            rows = self._tables.scan(table, SCHEMAS[table].names, f"selected_by = {quoted(WITHHELD)} AND {some}")
            numbers = [self.next_number() for _row in range(rows.num_rows)]
            released_rows: dict[str, Sequence[Any]] = {"selected_by": [RELEASED] * rows.num_rows, "enriched_seq": numbers}
            self._tables.replace(table, _changed(rows, released_rows))
            released += rows.num_rows
        return released

    def equal_texts(self, text_sha256s: Sequence[str]) -> list[StoryMember]:
        """Return the rows of both tables, of whatever time, that hold one of these very texts and have a story."""
        suspects = sorted(set(self._texts.among(text_sha256s)))
        return _members(self._tables, is_one_of("text_sha256", suspects)) if suspects else []


def _changed(rows: pa.Table, changes: Mapping[str, Sequence[Any]]) -> pa.Table:
    """Return rows with other values in some columns."""
    for name, values in changes.items():
        place = rows.schema.get_field_index(name)
        field = rows.schema.field(name)
        rows = rows.set_column(place, field, pa.array(values, field.type))
    return rows


def recent_stories(tables: Tables, before: datetime, window: timedelta) -> list[StoryMember]:
    """Return the rows of both tables with a story and an embedding, event time in [before - window, before], oldest first."""
    return _members(tables, f"event_time >= {moment(before - window)} AND event_time <= {moment(before)}")


def rows_of_stories(tables: Tables, story_ids: Sequence[str]) -> list[StoryRow]:
    """Return the rows of both tables, of whatever time, that belong to one of these stories."""
    found = []
    for texts, table in ENRICHMENT_OF.items():
        rows = tables.lookup(table, "story_id", story_ids, ["row_id", "story_id", "split", *_columns_of_counts(texts)])
        found += [
            StoryRow(*place)
            for place in zip(
                *(rows[name].to_pylist() for name in ("row_id", "story_id", "split")),
                _counts(texts, rows).to_pylist(),
                strict=True,
            )
        ]
    return found


def unread_languages(tables: Tables, since: datetime) -> tuple[Counter[str], int]:
    """Return how many texts stored since then the encoder could not read, by language, and how many texts there were."""
    unread: Counter[str] = Counter()
    total = 0
    for table in ENRICHMENT_OF.values():
        rows = tables.scan(table, ["language", "encoder_id"], f"stored_at >= {moment(since)} AND encoder_id IS NOT NULL")
        total += rows.num_rows
        by_letters = rows.filter(pc.equal(rows["encoder_id"], ngrams.ENCODER_ID))
        unread.update(by_letters["language"].to_pylist())
    return unread, total


def _members(tables: Tables, where: str) -> list[StoryMember]:
    columns = ["row_id", "story_id", "split", "event_time", "text_sha256", "encoder_id", "outline", "embedding"]
    where = f"{where} AND story_id IS NOT NULL AND embedding IS NOT NULL"
    parts = []
    for texts, table in ENRICHMENT_OF.items():
        rows = tables.scan(table, [*columns, *_columns_of_counts(texts)], where)
        parts.append(rows.select(columns).append_column("counts", _counts(texts, rows)))
    rows = pa.concat_tables(parts).sort_by([("event_time", "ascending"), ("row_id", "ascending")])
    places = zip(*(rows[name].to_pylist() for name in columns[:-1]), rows["embedding"], rows["counts"].to_pylist(), strict=True)
    return [
        StoryMember(
            row_id,
            story_id,
            split,
            event_time,
            text_sha256,
            encoder_id,
            embedding.values.to_numpy(),
            counts,
            tuple(outline or ()),
        )
        for row_id, story_id, split, event_time, text_sha256, encoder_id, outline, embedding, counts in places
    ]


def _columns_of_counts(texts: str) -> list[str]:
    return ["dropped_because", "verdict"] if texts == "examples" else []


def _counts(texts: str, rows: pa.Table) -> pa.Array:
    """Return which rows say anything of their story: what was left out for its own sake does not.

    Such are texts of users that stood on the wrong side of their document, and labels of rules and models that hold no more.
    """
    if texts != "examples":
        return pa.array([True] * rows.num_rows, pa.bool_())
    of_users = pc.and_(pc.is_null(rows["dropped_because"]), pc.is_valid(rows["verdict"]))
    withdrawn = pc.starts_with(pc.fill_null(rows["dropped_because"], ""), WITHDRAWN)
    return pc.invert(pc.and_(pc.equal(rows["split"], "dropped"), pc.or_(of_users, withdrawn)))
