"""The labelled texts of a task, by narrow columns: which label of each counts, and what else was said of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from config.tasks import TaskSpec
from consumers.rows.arriving.event_rows import canonical_json
from consumers.rows.eligibility import MADE, WITHHELD
from consumers.rows.labels.renames import in_force
from consumers.tables.columns import ENRICHMENT_OF, TextTable, quoted
from consumers.tables.lance import Snapshot
from consumers.training_set.targets import accepted, usable_target

READ = ("examples", "example_enrichment", "requests")
_ROWS_PER_BATCH = 10_000


def labelled(snapshot: Snapshot, task: TaskSpec) -> pa.Table:
    """Return the labels of a task that neither a user nor a rule gave: of each text first the one that counts.

    Columns: `row_id`, `text_sha256`, `target` (JSON, under the names of today), `settles`, `settled` (a person has
    decided), `event_time`, `story_id`, `split`,
    `document_id`, `counts` (whether it is the label that counts). Labels that fit the task no more and dropped rows are left out.
    """
    own = f"task = {quoted(task.name)} AND verdict IS NULL"
    columns = ["row_id", "text_sha256", "target", "settles", "corrected_by", "event_time", "document_id", "article_id"]
    rows = snapshot.scan("examples", columns, own)
    placed = snapshot.scan("example_enrichment", ["row_id", "story_id", "split", "selected_by"], f"{own} AND split != 'dropped'")
    at = pc.index_in(rows["row_id"].combine_chunks(), value_set=placed["row_id"].combine_chunks())
    for name in ("story_id", "split", "selected_by"):
        rows = rows.append_column(name, placed[name].combine_chunks().take(at))
    rows = rows.append_column("usable", usable(snapshot, task, rows["target"]))
    others = pc.is_in(rows["selected_by"], value_set=pa.array([WITHHELD, *MADE, None], pa.string()))
    rows = rows.filter(pc.and_(pc.is_valid(rows["usable"]), pc.invert(others)))
    document = pc.coalesce(rows["document_id"], rows["article_id"])
    rows = pa.table(
        {
            "row_id": rows["row_id"], "text_sha256": rows["text_sha256"], "target": rows["usable"],
            "settles": pc.fill_null(rows["settles"], False),  # noqa: FBT003 - Arrow's
            "settled": pc.or_(pc.fill_null(rows["settles"], False), pc.is_valid(rows["corrected_by"])),  # noqa: FBT003 - Arrow's
            "event_time": rows["event_time"], "story_id": rows["story_id"], "split": rows["split"], "document_id": document,
        }
    )  # fmt: skip
    # As when a training set is frozen: what settles a difference, then the newest.
    order = [("text_sha256", "ascending"), ("settles", "descending"), ("event_time", "descending"), ("row_id", "descending")]
    rows = rows.sort_by(order)
    texts = rows["text_sha256"].combine_chunks().dictionary_encode().indices.to_numpy()
    return rows.append_column("counts", pa.array(np.diff(texts, prepend=-1) != 0))


def usable(snapshot: Snapshot, task: TaskSpec, targets: pa.ChunkedArray) -> pa.Array:
    """Return targets (JSON) under the names of today; null where one fits the task no more."""
    task, left_out = in_force(snapshot, task), Counter[str]()
    coded = targets.combine_chunks().dictionary_encode()
    found = [usable_target(target, task, (task.renames,)) for target in coded.dictionary.to_pylist()]
    found = [None if target is None else accepted(target, task, left_out) for target in found]
    read = [None if target is None else canonical_json(json.loads(target)) for target in found]
    return pa.array(read, pa.string()).take(coded.indices)


def vectors(snapshot: Snapshot, task: str, row_ids: Sequence[str]) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Return the ids among `row_ids`, examples of a task, whose embedding is there, and the embeddings; see `embeddings`."""
    found = embeddings(snapshot, row_ids, own=f"task = {quoted(task)}")
    return found.ids, found.features


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The stored embeddings of some rows, all of one encoder."""

    ids: list[str]
    features: npt.NDArray[np.float32]
    """Shape (rows, dimensions), in the order of `ids`."""
    encoder: str | None
    """None where there are none."""


def embeddings(
    snapshot: Snapshot, row_ids: Sequence[str], *, table: TextTable = "examples", own: str = "", encoder: str | None = None
) -> Embeddings:
    """Return the embeddings among `row_ids` that are stored, of `encoder`; where that is None, of the one that made most.

    `own` filters the rows of `table`, if given. Memory: those embeddings, and a batch of the others.
    """
    wanted = pa.array(row_ids, pa.string())
    parts: dict[tuple[str, int], list[tuple[list[str], npt.NDArray[np.float32]]]] = {}
    columns = ["row_id", "encoder_id", "embedding"]
    filters = [own] if own else []
    filters += ["embedding IS NOT NULL", *([f"encoder_id = {quoted(encoder)}"] if encoder is not None else [])]
    for batch in snapshot.batches(ENRICHMENT_OF[table], columns, " AND ".join(filters)):
        some = batch.filter(pc.is_in(batch["row_id"], value_set=wanted))
        for row in pa.Table.from_batches([some]).to_batches(max_chunksize=_ROWS_PER_BATCH):
            for made_by in pc.unique(row["encoder_id"]).to_pylist():
                mine = row.filter(pc.equal(row["encoder_id"], made_by))
                lengths = pc.unique(pc.list_value_length(mine["embedding"])).to_pylist()
                if len(lengths) == 1:
                    flat = mine["embedding"].flatten().to_numpy().reshape(len(mine), lengths[0])
                    parts.setdefault((made_by, lengths[0]), []).append((mine["row_id"].to_pylist(), flat))
    if not parts:
        return Embeddings([], np.empty((0, 0), np.float32), None)
    (most_by, _dimensions), most = max(parts.items(), key=lambda pair: sum(len(ids) for ids, _ in pair[1]))
    ids = [one for some, _ in most for one in some]
    return Embeddings(ids, np.concatenate([flat for _, flat in most]).astype(np.float32), most_by)


def as_target(target: str) -> dict[str, Any]:
    """Return a target from its JSON."""
    found: dict[str, Any] = json.loads(target)
    return found
