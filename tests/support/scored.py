"""Scores tables as a training child writes them, from plain labels or spans."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from config.tasks import TaskSpec
from trainers.compare.answers import Answers
from trainers.compare.comparison import Comparison, Latency, compare
from trainers.compare.metrics import catalog
from trainers.compare.resampling.paired import Paired

_START = datetime(2026, 3, 1, tzinfo=UTC)


def labelled(
    gold: Sequence[str],
    candidate: Sequence[str],
    opponent: Sequence[str],
    *,
    stories: Sequence[str | None] | None = None,
    documents: Sequence[str | None] | None = None,
    role: str = "test",
    languages: Sequence[str] | None = None,
) -> pa.Table:
    """Return the scores of a classification task, one row an hour."""
    as_answers = [[{"label": label} for label in labels] for labels in (gold, candidate, opponent)]
    return table(*as_answers, stories=stories, documents=documents, role=role, languages=languages)


def table(
    gold: Sequence[dict[str, Any]],
    candidate: Sequence[dict[str, Any]],
    opponent: Sequence[dict[str, Any]],
    *,
    stories: Sequence[str | None] | None = None,
    documents: Sequence[str | None] | None = None,
    role: str = "test",
    languages: Sequence[str] | None = None,
) -> pa.Table:
    """Return a scores table from targets and answers in wire form, one row an hour."""
    count = len(gold)
    return pa.table(
        {
            "example_id": pa.array([f"{role}-{index}" for index in range(count)], pa.string()),
            "role": pa.array([role] * count, pa.string()),
            "story_id": pa.array(list(stories) if stories else [f"{role}-story-{index}" for index in range(count)], pa.string()),
            "document_id": pa.array(list(documents) if documents else [None] * count, pa.string()),
            "event_time": pa.array([_START + timedelta(hours=index) for index in range(count)], pa.timestamp("us", tz="UTC")),
            "language": pa.array(list(languages) if languages else ["en"] * count, pa.string()),
            "source": pa.array(["desk" if index % 2 else "import" for index in range(count)], pa.string()),
            "length": pa.array([(index * 37) % 1_000 for index in range(count)], pa.int32()),
            "gold": pa.array([json.dumps(each) for each in gold], pa.string()),
            "candidate": pa.array([json.dumps(each) for each in candidate], pa.string()),
            "opponent": pa.array([json.dumps(each) for each in opponent], pa.string()),
        }
    )


def paired(metric: str, scores: pa.Table) -> Paired:
    """Return the rows of a scores table as a metric pairs them."""
    return catalog.find(metric).pair(*Answers.read(scores).columns)


def topics(**promotion: object) -> TaskSpec:
    """Return a classification task with the shipped policy, changed as asked."""
    policy = {"metric": "macro_f1", **promotion}
    return TaskSpec(
        name="news-topics", kind="classification", backend="transformer", base_model="minilm", labels="open", promotion=policy
    )


def compared(
    task: TaskSpec, scores: pa.Table, *, champion: str | None = "news-topics/v3", looks: int = 1,
    known: Collection[str] | None = None,
) -> Comparison:  # fmt: skip
    """Return the comparison of a scores table."""
    return compare(
        task, run_id="run-1", champion_version=champion, opponent=champion or "baseline: most frequent label", scores=scores,
        candidate_latency=Latency(p50_ms=4.0, p99_ms=9.0), champion_latency=None, size_mib=87.5, looks=looks, seed=1, known=known,
    )  # fmt: skip
