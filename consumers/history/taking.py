"""Copies what a buffer holds of a task to a folder, each row as enrichment left it, whatever became of it later.

From one version of each table, in portions. A copy, because whoever plays it may take longer than a daemon that goes on keeps old
versions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from consumers.history.leaving import Leaving
from consumers.rows import moves
from consumers.rows.labels.withdrawn import KIND as WITHDRAWN
from consumers.tables.columns import SCHEMAS, is_one_of, quoted
from consumers.tables.lance import Snapshot, Tables

TABLES = ("examples", "example_enrichment", "feedback_judgements", "requests")
READ = (*TABLES, "article_enrichment", "articles")
_KINDS = ("retrain", "task_schema", WITHDRAWN)
"""Requests that a run or a training set goes by."""
_ROWS_PER_FILE = 10_000


def take(snapshot: Snapshot, task: str, folder: Path, *, sources: bool = False) -> None:
    """Copy a task's rows into the new folder `folder`; with `sources` its articles too, without their texts: rules look there."""
    mine = f"task = {quoted(task)}"
    leaving, back = _leaving(snapshot, mine), _retired(snapshot, mine)
    left, known = frozenset(leaving.row_ids), is_one_of("kind", _KINDS)
    copy = Tables(folder, writer=True)
    for name in TABLES:
        held = set(snapshot.columns(name))
        columns = [column for column in SCHEMAS[name].names if column in held]
        where = f"{mine} AND {known}" if name == "requests" else mine
        for portion in _portions(snapshot.batches(name, columns, where)):
            copy.extend(name, _as_found(portion, left, back) if name == "example_enrichment" else portion)
    leaving.write(folder)
    if sources:
        ids = copy.scan("examples", ["article_id"])["article_id"].combine_chunks().unique().drop_null()
        for batch in snapshot.batches("articles", [name for name in snapshot.columns("articles") if name != "text"]):
            named = pa.Table.from_batches([batch]).filter(pc.is_in(batch["article_id"], value_set=ids))
            copy.extend("articles", named.append_column("text", pa.array([""] * named.num_rows, pa.string())))


def _as_found(facts: pa.Table, left: frozenset[str], back: Mapping[str, int]) -> pa.Table:
    """Return rows on the side on which enrichment placed them, under the numbers that they had then."""
    names = [name for name in ("row_id", "split", "dropped_because", "enriched_seq", "retired_at") if name in facts.column_names]
    rows = facts.select(names).to_pylist()
    for row in rows:
        if row.get("retired_at") is not None:
            row |= {"split": "test", "enriched_seq": back.get(row["row_id"], row["enriched_seq"]), "dropped_because": None}
        elif moves.cause(row["dropped_because"]) == "freeze" or row["row_id"] in left:
            row |= {"split": "train", "dropped_because": None}
    for name in ("split", "dropped_because", "enriched_seq"):
        field = facts.schema.field(name)
        facts = facts.set_column(facts.schema.get_field_index(name), field, pa.array([row[name] for row in rows], field.type))
    for name in ("retired_at", "retired_because"):
        if name in facts.column_names:
            place, field = facts.schema.get_field_index(name), facts.schema.field(name)
            facts = facts.set_column(place, field, pa.nulls(facts.num_rows, field.type))
    return facts


def _leaving(snapshot: Snapshot, mine: str) -> Leaving:
    gone = snapshot.scan("example_enrichment", ["row_id", "enriched_seq", "dropped_because"], f"{mine} AND split = 'dropped'")
    gone = gone.filter(pc.is_valid(gone["dropped_because"]))
    causes = [(row, moves.cause(row["dropped_because"])) for row in gone.to_pylist()]
    tying = {row["row_id"]: moves.tied_by(row["dropped_because"]) or "" for row, why in causes if why == "tied"}
    numbers = _numbers_of(snapshot, sorted(set(tying.values())))
    withdrawn = _withdrawn(snapshot, mine) if any(why == "withdrawn" for _row, why in causes) else {}
    found: list[tuple[int, str, str]] = []
    unknown = 0
    for row, why in causes:
        number = withdrawn.get(row["row_id"]) if why == "withdrawn" else numbers.get(tying.get(row["row_id"], ""))
        if number is not None and number > row["enriched_seq"]:
            found.append((number, row["row_id"], row["dropped_because"]))
        elif why in ("tied", "beside", "withdrawn"):
            unknown += 1
    return Leaving.of(found, unknown)


def _numbers_of(snapshot: Snapshot, row_ids: list[str]) -> dict[str, int]:
    """Return the numbers of rows: a text that tied a story to a held-out one may be of another task, or an article."""
    found: dict[str, int] = {}
    for table in ("example_enrichment", "article_enrichment"):
        rows = snapshot.lookup(table, "row_id", row_ids, ["row_id", "enriched_seq"])
        found |= dict(zip(rows["row_id"].to_pylist(), rows["enriched_seq"].to_pylist(), strict=True))
    return found


def _withdrawn(snapshot: Snapshot, mine: str) -> dict[str, int]:
    """Return before which number labels that no person gave were withdrawn: the first that was stored after the event."""
    asked = snapshot.scan("requests", ["body", "stored_seq"], f"{mine} AND kind = {quoted(WITHDRAWN)}")
    facts = snapshot.scan("example_enrichment", ["stored_seq", "enriched_seq"], mine).sort_by("stored_seq")
    stored, numbers = facts["stored_seq"].to_numpy(), facts["enriched_seq"].to_numpy()
    found: dict[str, int] = {}
    for body, at in zip(asked["body"].to_pylist(), asked["stored_seq"].to_pylist(), strict=True):
        place = int(np.searchsorted(stored, at, side="right"))
        number = int(numbers[place:].min()) if place < len(numbers) else int(numbers.max(initial=0)) + 1
        found |= dict.fromkeys(json.loads(body)["event_ids"], number)
    return found


def _retired(snapshot: Snapshot, mine: str) -> dict[str, int]:
    """Return the numbers under which rows came that have gone from test to training since, and got new ones.

    Those numbers are not kept: a row gets the first that is free after all that had been stored before it.
    """
    if "retired_at" not in snapshot.columns("example_enrichment"):
        return {}
    facts = snapshot.scan("example_enrichment", ["row_id", "enriched_seq", "stored_seq", "verdict", "retired_at"], mine)
    # What users said keeps its number.
    gone = pc.and_(pc.is_valid(facts["retired_at"]), pc.is_null(facts["verdict"]))
    rows, others = (
        facts.filter(gone).sort_by([("stored_seq", "ascending"), ("row_id", "ascending")]),
        facts.filter(pc.invert(gone)),
    )
    judged = snapshot.scan("feedback_judgements", ["effective_seq", "judged_seq"], mine)
    numbers = others["enriched_seq"].to_numpy()
    used = np.concatenate([numbers, judged["effective_seq"].to_numpy(), judged["judged_seq"].to_numpy()])
    taken = np.zeros(int(used.max(initial=0)) + rows.num_rows + 2, dtype=bool)
    taken[used] = True
    order = np.argsort(others["stored_seq"].to_numpy())
    stored, highest = others["stored_seq"].to_numpy()[order], np.maximum.accumulate(numbers[order])
    found: dict[str, int] = {}
    for row_id, at in zip(rows["row_id"].to_pylist(), rows["stored_seq"].to_pylist(), strict=True):
        place = int(np.searchsorted(stored, at))
        number = int(highest[place - 1]) + 1 if place else 1
        while taken[number]:
            number += 1
        taken[number] = True
        found[row_id] = number
    return found


def _portions(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield what comes in tables of some thousand rows: each becomes a file."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(one.num_rows for one in held) >= _ROWS_PER_FILE:
            yield pa.Table.from_batches(held)
            held = []
    if held and sum(one.num_rows for one in held):
        yield pa.Table.from_batches(held)
