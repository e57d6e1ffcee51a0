"""The frozen pool of a pair of models: articles without a label that neither has learnt anything of, in a random order."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.compute as pc

from config.tasks import TaskSpec
from consumers.labelling.reading import articles_within
from consumers.rows.labels.unlabelled import id_of
from consumers.tables.columns import quoted
from consumers.tables.lance import Snapshot

READ = ("articles", "article_enrichment", "examples", "example_enrichment")
POOL_SCHEMA = pa.schema(
    [
        pa.field("example_id", pa.string(), nullable=False),
        pa.field("text_sha256", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
    ]
)


def frozen_pool(
    snapshot: Snapshot, task: TaskSpec, *, learnt: frozenset[str], most: int, min_quality: float, seed: int
) -> pa.Table:
    """Return at most `most` articles (`POOL_SCHEMA`), drawn by `seed`, in random order: each first part is a random sample too.

    `learnt` are the ids of all examples in the lineage of either model. Articles are of the train side, so that their labels may
    be learnt once the pair is decided, within `promotion.window_days` of the newest article, each text once. None has a label or
    an answer of a user for the task, and neither its document nor its story is one of which a model has learnt.
    """
    found = articles_within(snapshot, task.promotion.window_days, min_quality)
    found = found.filter(pc.equal(found["split"], "train"))
    own = f"task = {quoted(task.name)}"
    labels = snapshot.scan("examples", ["row_id", "text_sha256", "document_id", "article_id"], own)
    stories = snapshot.scan("example_enrichment", ["row_id", "story_id"], own)
    ids = pa.array(sorted(learnt), pa.string())
    known = labels.filter(pc.is_in(labels["row_id"], value_set=ids))
    documents = pc.coalesce(known["document_id"], known["article_id"])
    learnt_stories = stories.filter(pc.is_in(stories["row_id"], value_set=ids))["story_id"]
    # Articles that a teacher labelled for a student are in the lineage by the event that brought them.
    events = snapshot.scan("articles", ["row_id", "event_id"])
    found = found.join(events, "row_id", join_type="inner")
    names = pa.array(map(id_of, found["event_id"].to_pylist()), pa.string())
    found = found.append_column("example_id", names)
    taught = pc.is_in(found["example_id"], value_set=ids)
    learnt_stories = pa.chunked_array([*learnt_stories.chunks, *found.filter(taught)["story_id"].chunks], pa.string())
    for column, taken in (
        ("text_sha256", labels["text_sha256"]),
        ("article_id", documents),
        ("story_id", learnt_stories),
        ("example_id", pa.chunked_array([ids])),
    ):
        none_of = taken.combine_chunks().drop_null()
        found = found.filter(pc.invert(pc.is_in(found[column], value_set=none_of, skip_nulls=True)))
    places = pa.array([_place(seed, text) for text in found["text_sha256"].to_pylist()], pa.string())
    found = found.append_column("place", places).sort_by("place").slice(0, most)
    texts = snapshot.lookup("articles", "row_id", found["row_id"].to_pylist(), ["row_id", "text"]) if found.num_rows else None
    by_row = {} if texts is None else dict(zip(texts["row_id"].to_pylist(), texts["text"].to_pylist(), strict=True))
    rows = [
        {"example_id": row["example_id"], "text_sha256": row["text_sha256"], "text": by_row[row["row_id"]]}
        for row in found.select(["row_id", "example_id", "text_sha256"]).to_pylist()
        if row["row_id"] in by_row
    ]
    return pa.Table.from_pylist(rows, schema=POOL_SCHEMA)


def _place(seed: int, text_sha256: str) -> str:
    """Return where a text stands in the order of the draw: as random as the hash, and the same whenever it is drawn again."""
    return hashlib.sha256(f"{seed}\n{text_sha256}".encode()).hexdigest()
