"""Freezing: pinned tables become one immutable training set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from config.tasks import TaskSpec
from consumers.defence.records import FACTS, Judged
from consumers.fitness import facts, rules
from consumers.rows.documents import document_of
from consumers.rows.labels.renames import in_force
from consumers.tables.columns import quoted
from consumers.tables.lance import Snapshot, Tables
from consumers.training_set import unlabelled
from consumers.training_set.selection import Candidate, Selection, select
from consumers.training_set.snapshot import SCHEMA, UNLABELLED, TrainingSet, write_training_set

ENRICHMENT = "example_enrichment"
_FACTS = ("row_id", "event_time", "text_sha256", "origin", "selected_by", "verdict", "split", "quality", "story_id")
PINNED = ("examples", ENRICHMENT, "feedback_judgements", "requests")


def pinned(task: TaskSpec) -> tuple[str, ...]:
    """Return the tables that the training set of a task is read from."""
    return tuple(dict.fromkeys((*PINNED, *facts.tables_for(task.quality), *(unlabelled.TABLES if _asked_for(task) else ()))))


def freeze(
    snapshot: Snapshot,
    task: TaskSpec,
    *,
    run_id: str,
    folder: Path,
    learnt: frozenset[str],
    min_quality: float,
    max_rows: int,
    now: datetime,
    embeddings: bool = True,
) -> TrainingSet:
    """Write the training set of `task` into the new folder `folder`. Memory: the chosen rows, and small columns of the rest.

    Without `embeddings`, most of the bytes, these are neither read nor written; `embeddings_of` tells them.
    """
    task, taken, most = in_force(snapshot, task), unlabelled.Taken(), _asked_for(task)
    found = candidates(snapshot, task)
    chosen = select(
        taken.noting(found) if most else found,
        task,
        renames=(),
        learnt=learnt,
        min_quality=min_quality,
        max_rows=max_rows,
    )
    numbers = ((ENRICHMENT, "enriched_seq"), ("feedback_judgements", "effective_seq"))
    highest = max(pc.max(snapshot.scan(table, [name], _of(task.name))[name]).as_py() or 0 for table, name in numbers)
    rows = _rows(snapshot, task.name, chosen, embeddings=embeddings)
    if most:
        articles = unlabelled.newest(snapshot, taken, most=most, min_quality=min_quality, policy=task.quality)
        rows = pa.concat_tables([rows, _without_label(articles)])
    return write_training_set(
        folder,
        rows,
        run_id=run_id,
        task=task.name,
        created_at=now,
        max_seq=highest,
        table_versions=snapshot.versions,
        labels=chosen.labels,
        left_out=chosen.left_out,
        waiting=chosen.waiting,
        renames=task.renames,
        gone=sorted(task.gone),
        declared=task.label_names,
    )


def candidates(snapshot: Snapshot, task: TaskSpec) -> Iterator[Candidate]:
    """Yield the enriched rows of a task, with what is known of each."""
    of_task = _of(task.name)
    enriched = with_broken_rules(snapshot, task, of_task, more=_FACTS)
    of_examples = ["row_id", "target", "document_id", "article_id", "accepted_labels", "settles", "weight"]
    targets = snapshot.scan("examples", of_examples, of_task)
    judged = Judged(snapshot.scan("feedback_judgements", FACTS, of_task))
    joined = enriched.join(targets, "row_id", join_type="inner")
    for batch in joined.to_batches():
        for row in batch.to_pylist():
            example_id = row.pop("row_id")
            document = document_of(row.pop("document_id"), row.pop("article_id"))
            yield Candidate(example_id=example_id, document=document, **row, **(judged.of(example_id) if row["verdict"] else {}))


def with_broken_rules(tables: Tables | Snapshot, task: TaskSpec, where: str, *, more: tuple[str, ...]) -> pa.Table:
    """Return the columns `more` of the enriched examples that fulfil a filter, and `unfit`: the first rule that each breaks."""
    if not task.quality.rules:
        rows = tables.scan(ENRICHMENT, list(more), where)
        return rows.append_column("unfit", pa.nulls(rows.num_rows, pa.string()))
    rows = facts.facts(tables, task.quality, where, more=more)
    names = pa.array([None, *task.quality.rules], pa.string())
    return rows.select(list(more)).append_column("unfit", names.take(pa.array(rules.first_broken(task.quality, rows))))


def embeddings_of(snapshot: Snapshot, task: str, example_ids: Sequence[str]) -> pa.Table:
    """Return `example_id`, `embedding` and `encoder_id` of those of a task's examples that have an embedding, in any order."""
    columns, ids = ["row_id", "embedding", "encoder_id"], pa.array(example_ids, pa.string())
    found = _chosen(snapshot, ENRICHMENT, columns, task, ids)
    return found.filter(pc.is_valid(found["embedding"])).rename_columns(["example_id", *columns[1:]])


def _rows(snapshot: Snapshot, task: str, selection: Selection, *, embeddings: bool) -> pa.Table:
    ids = pa.array(list(selection.rows), pa.string())
    texts = _chosen(snapshot, "examples", ["row_id", "text", "event_time", "origin", "selected_by", "source"], task, ids)
    enriched = ["row_id", "story_id", "language", *(["embedding"] if embeddings else []), "encoder_id"]
    found = _chosen(snapshot, ENRICHMENT, enriched, task, ids)
    # Arrow cannot join list columns; both sides hold the same ids once sorted.
    texts, found = texts.sort_by("row_id"), found.sort_by("row_id")
    order = texts["row_id"].to_pylist()
    chosen = [selection.rows[example_id] for example_id in order]
    columns = {
        "example_id": texts["row_id"],
        "text": texts["text"],
        "target": pa.array([one.target for one in chosen], pa.string()),
        "weight": pa.array([one.weight for one in chosen], pa.float32()),
        "origin": texts["origin"],
        "selected_by": texts["selected_by"],
        "story_id": pc.coalesce(found["story_id"], texts["row_id"]),
        "event_time": texts["event_time"],
        "language": pc.fill_null(found["language"], ""),
        "is_new": pa.array([one.is_new for one in chosen], pa.bool_()),
        "role": pa.array([one.role for one in chosen], pa.string()),
        "contributor": _contributors([one.contributor for one in chosen]),
        "document_id": pa.array([one.document for one in chosen], pa.string()),
        "scope": pa.array([one.scope for one in chosen], pa.list_(pa.string())),
        "source": texts["source"],
        "embedding": found["embedding"] if embeddings else pa.nulls(len(order), SCHEMA.field("embedding").type),
        "encoder_id": found["encoder_id"],
    }
    return pa.table(columns, schema=SCHEMA)


def _chosen(snapshot: Snapshot, table: str, columns: list[str], task: str, ids: pa.Array) -> pa.Table:
    parts = [
        pa.Table.from_batches([batch]).filter(pc.is_in(batch["row_id"], value_set=ids))
        for batch in snapshot.batches(table, columns, _of(task))
    ]
    return pa.concat_tables(parts) if parts else snapshot.scan(table, columns, "false")


def _contributors(users: Sequence[str | None]) -> pa.Array:
    """Return a number per user, the same for all rows of one: a training set caps their shares and needs no names."""
    numbers = {user: number for number, user in enumerate(sorted({user for user in users if user is not None}))}
    return pa.array([None if user is None else numbers[user] for user in users], pa.int32())


def _asked_for(task: TaskSpec) -> int:
    """Return how many articles without a label a task's teacher may label."""
    return 0 if task.training.teacher is None else task.training.teacher_rows


def _without_label(articles: pa.Table) -> pa.Table:
    """Return articles as rows of a training set, which no gold and no lineage knows."""
    same = {
        "target": pa.scalar("{}"), "weight": pa.scalar(0.0, pa.float32()), "origin": pa.scalar(UNLABELLED),
        "selected_by": pa.scalar(UNLABELLED), "is_new": pa.scalar(value=False), "role": pa.scalar(UNLABELLED),
    }  # fmt: skip
    columns = [
        articles[field.name] if field.name in articles.column_names
        else pa.nulls(articles.num_rows, field.type) if field.name not in same
        else pa.repeat(same[field.name], articles.num_rows)
        for field in SCHEMA
    ]  # fmt: skip
    return pa.table(columns, schema=SCHEMA)


def _of(task: str) -> str:
    return f"task = {quoted(task)}"
