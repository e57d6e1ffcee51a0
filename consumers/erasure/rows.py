"""Erasing in the tables: what belongs to whom, the removal of its rows, and then of their bytes.

Rows are found by the hashes of erased things alone, and removed by their place in the table, so that no id is written into
LanceDB's own records of what it did. docs/erasure.md says in words what belongs to a user and what to an article.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from consumers.erasure import tombstones as hashes
from consumers.erasure.requests import Derived, Erasures
from consumers.erasure.tombstones import Kind, Tombstones
from consumers.events.schemas import content_sha256
from consumers.rows.labels.unlabelled import id_of
from consumers.tables.columns import ARRIVED, ENRICHMENT_OF, KEYS, SCHEMAS
from consumers.tables.compaction import FRAGMENT_BITS
from consumers.tables.lance import Snapshot
from consumers.tables.pace import Pace, portions
from consumers.tables.upkeep import Upkeep

_VALUES_PER_LOOK = 2_000
_FINDINGS_ABOUT: Mapping[str, str] = {
    **{enrichment: name for name, enrichment in ENRICHMENT_OF.items()},
    "feedback_judgements": "examples",
}
_COLUMN_OF: Mapping[str, Mapping[str, Kind]] = {
    "articles": {"article_id": "article"},
    "examples": {"user_id": "user", "article_id": "article", "document_id": "article", "prediction_id": "prediction"},
    "feedback": {"user_id": "user", "article_id": "article", "document_id": "article", "prediction_id": "prediction"},
    "predictions": {"article_id": "article", "prediction_id": "prediction"},
}


@dataclass(frozen=True, slots=True)
class ErasedRows:
    """Rows of one table to remove."""

    row_ids: tuple[int, ...]
    """LanceDB's own."""
    keys: frozenset[str]


def derived(tables: Snapshot, stones: Tombstones) -> list[Derived]:
    """Return what else belongs to the erased users and articles, as the tables tell while their rows are there."""
    articles = _of_articles(tables, stones)
    users = _of_users(tables, stones)
    texts = {one.name: hashes.digest(stones.key, "text", one.name) for one in articles if one.kind == "text"}
    said = users.texts
    cited_by_others = users.cited_by_others
    predictions: list[Derived] = []
    if texts or said or stones.digests.get("text"):
        for prediction_id, text in _texts_without_article(tables):
            sha256 = content_sha256(text)
            if sha256 in texts or stones.has("text", sha256):
                predictions.append(Derived("prediction", prediction_id, hashes.digest(stones.key, "text", sha256)))
            elif sha256 in said and prediction_id not in cited_by_others:
                predictions.append(Derived("prediction", prediction_id, said[sha256]))
    return [*articles, *users.predictions, *predictions]


def erased_rows(tables: Snapshot, stones: Tombstones) -> dict[str, ErasedRows]:
    """Return the rows of each table that belong to something erased; tables without any are left out."""
    found: dict[str, ErasedRows] = {}
    for name, columns in _COLUMN_OF.items():
        key = KEYS[name]
        more = ["text_sha256"] if name == "examples" else []
        rows = tables.scan(name, sorted({key, *columns, *more}), row_ids=True)
        erased = pa.array([False] * rows.num_rows, pa.bool_())
        for column, kind in columns.items():
            erased = pc.or_(erased, pc.is_in(rows[column], value_set=_erased(rows[column], stones, kind)))
        if more:
            erased = pc.or_(erased, _hold_an_erased_text(tables, rows, stones))
        if name == "feedback" and "examples" in found:
            # An answer that brought its text along stands in both; the ledger alone does not tell what the text was.
            erased = pc.or_(erased, pc.is_in(rows[key], value_set=pa.array(sorted(found["examples"].keys), pa.string())))
        gone = rows.filter(erased)
        if gone.num_rows:
            found[name] = ErasedRows(tuple(gone["_rowid"].to_pylist()), frozenset(gone[key].to_pylist()))
    labels = found["examples"].keys if "examples" in found else frozenset()
    if requests := _requests(tables, stones, labels):
        found["requests"] = requests
    return found


def erase(upkeep: Upkeep, erasures: Erasures) -> int:
    """Remove the rows of everything that was erased, while ingest continues; return how many rows were removed.

    Ingest takes nothing in of what the list of erasures names. What is derived is named there by rows of one moment, so whatever
    came in before it was named shows at the next look; it looks until nothing more is found. Killed at any point it continues at
    the next call: what is derived from rows is kept before they go.
    """
    removed = 0
    while True:
        with upkeep.pinned() as tables:
            # One list and one moment for both: of what is asked for meanwhile no row goes before it has told what belongs to it.
            stones = erasures.tombstones()
            if erasures.derive(derived(tables, stones)):
                continue
            rows = erased_rows(tables, stones) | _orphans(tables)
            if not rows:
                erasures.add_work("fragment", fragments_with_deletions(tables, upkeep.folder))
                return removed
        examples, answers = (rows[name].keys if name in rows else frozenset() for name in ("examples", "feedback"))
        articles = rows["articles"].keys if "articles" in rows else frozenset()
        # A teacher may have labelled an article for a student, which has learnt from it too.
        erasures.add_work("example", examples.union(map(id_of, articles)))
        erasures.add_work("event", examples | answers)
        # The ledger before the examples: a killed process must still find both. Findings last.
        for name in (*reversed(ARRIVED), *_FINDINGS_ABOUT):
            if name in rows:
                upkeep.delete(name, rows[name].row_ids)
        removed += sum(len(some.row_ids) for some in rows.values())


def fragments_with_deletions(tables: Snapshot, folder: Path) -> list[str]:
    """Return, as `table:number`, the fragments of these versions whose files still hold removed rows."""
    found = []
    for name in SCHEMAS:
        marked = {int(file.name.partition("-")[0]) for file in (folder / f"{name}.lance" / "_deletions").glob("*-*")}
        present = set(np.unique(tables.row_ids(name) >> FRAGMENT_BITS).tolist()) if marked else set()
        found += [f"{name}:{number}" for number in sorted(marked & present)]
    return found


def _orphans(tables: Snapshot) -> dict[str, ErasedRows]:
    """Return findings about texts that are gone; by what is missing, for a killed process may have removed the texts alone."""
    found = {}
    for enrichment, name in _FINDINGS_ABOUT.items():
        findings = tables.scan(enrichment, ["row_id"], row_ids=True)
        present = tables.scan(name, ["row_id"])["row_id"].combine_chunks()
        orphans = findings.filter(pc.invert(pc.is_in(findings["row_id"], value_set=present)))
        if orphans.num_rows:
            found[enrichment] = ErasedRows(tuple(orphans["_rowid"].to_pylist()), frozenset())
    return found


def _requests(tables: Snapshot, stones: Tombstones, examples: frozenset[str]) -> ErasedRows | None:
    """Return the decisions of people about all that an erased user had said, which name the user; and corrections of `examples`.

    A correction of a label that was erased before it came goes too, by its article.
    """
    kinds = "kind IN ('feedback_review', 'label_correction')"
    rows = tables.scan("requests", ["event_id", "body"], kinds, row_ids=True)
    bodies = [json.loads(body) for body in rows["body"].to_pylist()]
    goes = [
        ((user := body.get("user_id")) is not None and stones.has("user", user))
        or ((article := body.get("article_id")) is not None and stones.has("article", article))
        or body.get("label_id") in examples
        for body in bodies
    ]  # fmt: skip
    gone = rows.filter(pa.array(goes, pa.bool_()))
    return ErasedRows(tuple(gone["_rowid"].to_pylist()), frozenset(gone["event_id"].to_pylist())) if gone.num_rows else None


@dataclass(frozen=True, slots=True)
class _OfUsers:
    predictions: list[Derived]
    texts: dict[str, str]
    """SHA-256 of what users had said of no article -> the user's hash."""
    cited_by_others: frozenset[str]


def _of_articles(tables: Snapshot, stones: Tombstones) -> list[Derived]:
    if not stones.digests.get("article"):
        return []
    rows = tables.scan("articles", ["article_id", "text_sha256"])
    erased = pc.is_in(rows["article_id"], value_set=_erased(rows["article_id"], stones, "article"))
    gone, others = rows.filter(erased), rows.filter(pc.invert(erased))
    # A text that another article has too stays that one's.
    own = gone.filter(pc.invert(pc.is_in(gone["text_sha256"], value_set=others["text_sha256"].combine_chunks())))
    predictions = tables.scan("predictions", ["article_id", "prediction_id"])
    made = predictions.filter(
        pc.is_in(predictions["article_id"], value_set=_erased(predictions["article_id"], stones, "article"))
    )
    return [
        *(Derived("text", sha256, _cause(stones, article_id)) for article_id, sha256 in _pairs(own, "article_id", "text_sha256")),
        *(
            Derived("prediction", one, _cause(stones, article_id))
            for article_id, one in _pairs(made, "article_id", "prediction_id")
        ),
    ]


def _of_users(tables: Snapshot, stones: Tombstones) -> _OfUsers:
    cited: dict[str, str] = {}
    cited_by_others: set[str] = set()
    texts: dict[str, str] = {}
    for name in ("examples", "feedback") if stones.digests.get("user") else ():
        columns = ["user_id", "article_id", "prediction_id", *(["text_sha256"] if name == "examples" else [])]
        rows = tables.scan(name, columns)
        erased = pc.is_in(rows["user_id"], value_set=_erased(rows["user_id"], stones, "user"))
        cited_by_others.update(rows.filter(pc.invert(erased))["prediction_id"].drop_null().to_pylist())
        for row in rows.filter(erased).to_pylist():
            cause = hashes.digest(stones.key, "user", row["user_id"])
            if row["prediction_id"] is not None:
                cited[row["prediction_id"]] = cause
            if row["article_id"] is None and "text_sha256" in row:
                texts[row["text_sha256"]] = cause
    own = {one: cause for one, cause in cited.items() if one not in cited_by_others}
    # What the app had asked about an article stays the article's.
    found = tables.lookup("predictions", "prediction_id", sorted(own), ["prediction_id", "article_id"])
    about_articles = set(found.filter(pc.is_valid(found["article_id"]))["prediction_id"].to_pylist())
    predictions = [Derived("prediction", one, cause) for one, cause in own.items() if one not in about_articles]
    return _OfUsers(predictions, texts, frozenset(cited_by_others))


def _hold_an_erased_text(tables: Snapshot, examples: pa.Table, stones: Tombstones) -> pa.ChunkedArray:
    """Return which examples hold the text of an erased article and name no article, not through a prediction either."""
    same = pc.is_in(examples["text_sha256"], value_set=_erased(examples["text_sha256"], stones, "text"))
    same = pc.and_(same, pc.is_null(examples["article_id"]))
    cited = sorted(set(examples.filter(same)["prediction_id"].drop_null().to_pylist()))
    made = tables.lookup("predictions", "prediction_id", cited, ["prediction_id", "article_id"])
    about_others = made.filter(pc.is_valid(made["article_id"]))["prediction_id"].combine_chunks()
    return pc.and_(same, pc.invert(pc.is_in(examples["prediction_id"], value_set=about_others)))


def _texts_without_article(tables: Snapshot) -> Iterator[tuple[str, str]]:
    """Yield id and text of the predictions that name no article, a few at a time."""
    pace = Pace()
    for batch in tables.batches("predictions", ["prediction_id", "text"], "article_id IS NULL"):
        for some in portions(batch, _VALUES_PER_LOOK):
            yield from zip(some["prediction_id"].to_pylist(), some["text"].to_pylist(), strict=True)
            pace.breathe()


def _erased(column: pa.ChunkedArray, stones: Tombstones, kind: Kind) -> pa.Array:
    """Return those values of a column that were erased."""
    if not stones.digests.get(kind):
        return pa.array([], pa.string())
    pace, found = Pace(), []
    for some in portions(pc.unique(column.drop_null()), _VALUES_PER_LOOK):
        found += [value for value in some.to_pylist() if stones.has(kind, value)]
        pace.breathe()
    return pa.array(found, pa.string())


def _pairs(rows: pa.Table, first: str, second: str) -> set[tuple[str, str]]:
    return set(zip(rows[first].to_pylist(), rows[second].to_pylist(), strict=True))


def _cause(stones: Tombstones, article_id: str) -> str:
    return hashes.digest(stones.key, "article", article_id)
