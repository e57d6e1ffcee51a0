"""The labelled rows of a file, as rows of a test set: under the labels in force, without what a model has learnt."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from config.errors import UserError
from config.kinds import catalog as kinds
from config.kinds.kind import KnowsScope
from config.tasks import TaskSpec
from consumers.events.schemas import Label, content_sha256
from consumers.formats.importing import Import
from consumers.formats.rows import BadRow
from consumers.formats.summary import Summary
from consumers.rows.arriving.event_rows import canonical_json
from consumers.training_set import scopes
from consumers.training_set.targets import accepted, usable_target


@dataclass(frozen=True, slots=True)
class Known:
    """What the buffer knows of a task's texts and labels."""

    task: TaskSpec
    """With the labels in force."""
    learnt_texts: frozenset[str]
    """SHA-256 of the texts that one of the models has learnt from."""

    @classmethod
    def of(cls, task: TaskSpec, by_text: Mapping[str, Collection[str]], learnt: frozenset[str]) -> Known:
        """Read the examples by text, and the ids of those that were learnt."""
        return cls(task, frozenset(text for text, ids in by_text.items() if not learnt.isdisjoint(ids)))


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that count, and what became of the others."""

    table: pa.Table
    """Columns of a training set (`consumers.training_set.snapshot.SCHEMA`) that scoring reads; role `test`."""
    lines: tuple[int, ...]
    """The number of each in the file, from 1."""
    learnt: int
    """Left out because a model has learnt from the text."""
    left_out: Mapping[str, int]
    """Left out for another reason."""
    bad: int
    """Rows that cannot be used."""


@dataclass(frozen=True, slots=True)
class _Row:
    """What scopes are found from."""

    example_id: str
    event_time: datetime
    target: str
    event: Label
    accepted_labels: str | None = None


def read(found: Import, known: Known, *, with_learnt: bool, bad: Callable[[BadRow], None]) -> Rows:
    """Return the rows of a file that the task can be judged by; `bad` hears of each that cannot be used.

    Equal texts are one story: they are one piece of evidence. Raises `UserError` where no row is left.
    """
    task = known.task
    summary, left_out, learnt = Summary(), Counter[str](), 0
    rows: list[_Row] = []
    for event in summary.count(found.events(), bad):
        if not isinstance(event, Label) or event.text is None:
            continue
        target = usable_target(canonical_json(event.target), task, (task.renames,))
        if target is None:
            left_out[f"target does not fit kind {task.kind}"] += 1
            continue
        target = accepted(target, task, left_out)
        if target is None:
            continue
        if not with_learnt and content_sha256(event.text) in known.learnt_texts:
            learnt += 1
            continue
        rows.append(_Row(event.event_id, event.occurred_at, target, event))
    left_out.update(summary.left_out)
    if not rows:
        raise UserError(_nothing_left(found, learnt, left_out, summary.bad))
    scope = scopes.of(rows, task.renames) if isinstance(kinds.get(task.kind), KnowsScope) else {}
    table = pa.table(
        {
            "example_id": pa.array([row.example_id for row in rows], pa.string()),
            "text": pa.array([row.event.text for row in rows], pa.string()),
            "target": pa.array([row.target for row in rows], pa.string()),
            "story_id": pa.array([content_sha256(row.event.text or "") for row in rows], pa.string()),
            "document_id": pa.array([row.event.document_id or row.event.article_id for row in rows], pa.string()),
            "event_time": pa.array([row.event_time for row in rows], pa.timestamp("us", tz="UTC")),
            "language": pa.array([""] * len(rows), pa.string()),
            "role": pa.array(["test"] * len(rows), pa.string()),
            "scope": pa.array([scope.get(row.example_id) for row in rows], pa.list_(pa.string())),
        }
    )
    lines = tuple(int(row.example_id.rpartition("-")[2]) for row in rows)
    return Rows(table, lines, learnt, dict(left_out), summary.bad)


def _nothing_left(found: Import, learnt: int, left_out: Mapping[str, int], bad: int) -> str:
    reasons = {"a model has learnt from the text": learnt, **left_out, "the row cannot be used": bad}
    why = "; ".join(f"{reason}: {rows}" for reason, rows in reasons.items() if rows) or "it holds no rows"
    more = ". --with-learnt scores learnt texts too" if learnt else ""
    return f"no row of {found.source.path.name} is left to score: {why}{more}"


def labels_unknown(rows: Rows, known: Collection[str]) -> dict[str, int]:
    """Return the labels of the rows that no model can give, with how many rows carry each; empty where `known` is empty."""
    if not known:
        return {}
    counted: Counter[str] = Counter()
    for text in rows.table["target"].to_pylist():
        target = json.loads(text)
        counted.update(set(kinds.of(target).labels(target)) - set(known))
    return dict(counted.most_common())
