"""The documents of placed texts: which split each is in, and the rows of those that are in both train and test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from consumers.rows.documents import DocumentSides, Side
from consumers.tables.columns import ENRICHMENT_OF, quoted
from consumers.tables.lance import Snapshot, Tables

READ = ("articles", "examples", "article_enrichment", "example_enrichment")
"""The tables from which a document's split is read."""
_HELD_OUT = ("test", "anchor")


def sides(tables: Snapshot) -> DocumentSides:
    """Return the split of each document: by its labels, or by its article while it has none. Users' texts do not count."""
    labels = _labels(_placed(tables, "examples"))
    articles = _placed(tables, "articles")
    unlabelled = articles.filter(pc.invert(pc.is_in(articles["document"], value_set=labels["document"].combine_chunks())))
    return DocumentSides(pair for rows in (labels, unlabelled) for pair in _pairs(rows))


def on_both_sides(tables: Snapshot) -> dict[str, str]:
    """Return the training rows, with their document, of documents that have held-out labels too.

    Versions before documents were told apart split sentence by sentence; and a text may be placed while its document moves.
    """
    examples = _placed(tables, "examples")
    labels = _labels(examples)
    held_out = labels.filter(_is(labels, *_HELD_OUT))["document"].combine_chunks()
    mixed = examples.filter(pc.and_(_is(examples, "train"), pc.is_in(examples["document"], value_set=held_out)))
    return dict(zip(mixed["row_id"].to_pylist(), mixed["document"].to_pylist(), strict=True))


def training_rows(tables: Tables, document: str) -> list[tuple[str, str]]:
    """Return row id and story id of the training rows of one document."""
    found = []
    for texts, enrichment in ENRICHMENT_OF.items():
        names = ("document_id", "article_id") if texts == "examples" else ("article_id",)
        rows = tables.scan(texts, ["row_id", *names], " OR ".join(f"{name} = {quoted(document)}" for name in names))
        ids = rows.filter(pc.equal(_document(rows), document))["row_id"].to_pylist()
        placed = tables.lookup(enrichment, "row_id", ids, ["row_id", "story_id"], "split = 'train'")
        found += list(zip(placed["row_id"].to_pylist(), placed["story_id"].to_pylist(), strict=True))
    return found


def trains(tables: Tables, story_ids: Sequence[str], document: str | None) -> bool:
    """Return whether an example of one of these stories, or of a document, is on the train side."""
    of_train = "split = 'train'"
    if tables.lookup("example_enrichment", "story_id", story_ids, ["row_id"], of_train).num_rows:
        return True
    if document is None:
        return False
    named = f"document_id = {quoted(document)} OR article_id = {quoted(document)}"
    rows = tables.scan("examples", ["row_id", "document_id", "article_id"], named)
    own = rows.filter(pc.equal(_document(rows), document))["row_id"].to_pylist()
    return bool(tables.lookup("example_enrichment", "row_id", own, ["row_id"], of_train).num_rows)


def _placed(tables: Snapshot, texts: str) -> pa.Table:
    """Return row id, document, split and, of examples, verdict of the placed rows that name a document."""
    names = ["document_id", "article_id"] if texts == "examples" else ["article_id"]
    rows = tables.scan(texts, ["row_id", *names])
    rows = rows.select(["row_id"]).append_column("document", _document(rows)).filter(pc.is_valid(_document(rows)))
    more = ["verdict"] if texts == "examples" else []
    return rows.join(tables.scan(ENRICHMENT_OF[texts], ["row_id", "split", *more]), "row_id", join_type="inner")


def _document(rows: pa.Table) -> pa.ChunkedArray:
    return pc.coalesce(rows["document_id"], rows["article_id"]) if "document_id" in rows.column_names else rows["article_id"]


def _labels(examples: pa.Table) -> pa.Table:
    return examples.filter(pc.is_null(examples["verdict"]))


def _is(rows: pa.Table, *splits: str) -> pa.ChunkedArray:
    return pc.is_in(rows["split"], value_set=pa.array(splits, pa.string()))


def _pairs(rows: pa.Table) -> Iterator[tuple[str, Side]]:
    for batch in rows.filter(_is(rows, "train", *_HELD_OUT)).select(["document", "split"]).to_batches(max_chunksize=10_000):
        for document, split in zip(batch["document"].to_pylist(), batch["split"].to_pylist(), strict=True):
            yield document, cast("Side", split)
