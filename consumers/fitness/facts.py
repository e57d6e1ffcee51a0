"""Reads what the rules of a task file look at: from enrichment, the source of a text, and words that nobody has counted yet."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from config.task_files.sections.quality import Quality
from consumers.fitness.rules import FACTS
from consumers.tables.columns import ENRICHMENT_OF, TextTable
from consumers.tables.lance import Snapshot, Tables
from consumers.text.quality import count_words

_LOOKED_UP = 5_000
"""More articles are read as a whole: looking them up by id would take longer."""
_ABOUT_SOURCES = ("allow_sources", "deny_sources")


def tables_for(policy: Quality) -> tuple[str, ...]:
    """Return the tables that must be pinned beside `examples` and its enrichment."""
    return ("articles",) if set(policy.rules) & set(_ABOUT_SOURCES) else ()


def facts(
    tables: Tables | Snapshot, policy: Quality, where: str, *, table: TextTable = "examples", more: tuple[str, ...] = ()
) -> pa.Table:
    """Return `row_id`, the columns `more` and what the rules of a policy look at, of the enriched rows that fulfil a filter."""
    columns = list(dict.fromkeys(["row_id", "stored_seq", *FACTS, *more]))
    rows = tables.scan(ENRICHMENT_OF[table], columns, where)
    if {"min_words", "max_words"} & set(policy.rules) and rows["words"].null_count:
        rows = _with_words(tables, rows, table)
    if set(policy.rules) & set(_ABOUT_SOURCES):
        rows = rows.append_column("source", sources(tables, rows, table=table))
    return rows


def sources(tables: Tables | Snapshot, rows: pa.Table, *, table: TextTable = "examples") -> pa.Array:
    """Return where each text comes from: its article's publisher, else the article's source, else the row's own.

    Null where nobody says. `rows` has `row_id` and `stored_seq`.
    """
    if not rows.num_rows:
        return pa.array([], pa.string())
    since = f"stored_seq >= {pc.min(rows['stored_seq']).as_py()}"
    if table == "articles":
        found = tables.scan("articles", ["row_id", "publisher", "source"], since)
        said = pc.coalesce(found["publisher"], found["source"])
        return _of(rows["row_id"], found["row_id"], said)
    found = tables.scan("examples", ["row_id", "source", "article_id"], since)
    own = _of(rows["row_id"], found["row_id"], found["source"])
    articles = _of(rows["row_id"], found["row_id"], found["article_id"])
    ids = articles.unique().drop_null()
    if not len(ids):
        return own
    columns = ["article_id", "publisher", "source"]
    many = len(ids) > _LOOKED_UP
    known = tables.scan("articles", columns) if many else tables.lookup("articles", "article_id", ids.to_pylist(), columns)
    told = pc.coalesce(known["publisher"], known["source"])
    return pc.coalesce(_of(articles, known["article_id"], told), own)


def _with_words(tables: Tables | Snapshot, rows: pa.Table, table: TextTable) -> pa.Table:
    """Count the words of texts that an earlier version enriched, which did not."""
    missing = rows.filter(pc.is_null(rows["words"]))
    since = f"stored_seq >= {pc.min(missing['stored_seq']).as_py()} AND stored_seq <= {pc.max(missing['stored_seq']).as_py()}"
    wanted, ids, counts = missing["row_id"].combine_chunks(), [], []
    for batch in tables.batches(table, ["row_id", "text"], since):
        some = batch.filter(pc.is_in(batch["row_id"], value_set=wanted))
        ids += some["row_id"].to_pylist()
        counts += [count_words(text) for text in some["text"].to_pylist()]
    counted = _of(
        rows["row_id"], pa.chunked_array([pa.array(ids, pa.string())]), pa.chunked_array([pa.array(counts, pa.int32())])
    )
    place = rows.schema.get_field_index("words")
    return rows.set_column(place, rows.schema.field(place), pc.coalesce(rows["words"].combine_chunks(), counted))


def _of(wanted: pa.ChunkedArray | pa.Array, names: pa.ChunkedArray, values: pa.ChunkedArray) -> pa.Array:
    """Return the value beside each wanted name, null where there is none; of a name that stands twice, the first."""
    wanted, names, values = (_whole(one) for one in (wanted, names, values))
    if not len(names):
        return pa.nulls(len(wanted), values.type)
    return values.take(pc.index_in(wanted, value_set=names, skip_nulls=True))


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
