"""Test, then train: held-out rows that have judged models and lie behind the window go to training, once and for good.

Nothing is lost by it: what lies behind `promotion.window_days` decides nothing any more. Rows that share a document or a story go
together or stay together, whatever task they are of, so that neither is ever on two sides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from config.tasks import TaskSpec
from consumers.rows.documents import document_of
from consumers.rows.eligibility import INDEPENDENT, MADE
from consumers.tables.lance import Snapshot

READ = ("articles", "article_enrichment", "examples", "example_enrichment")
_AT_ONCE = 1_000
"""Test rows that are written in one step."""
Judged = Callable[[str, Collection[str]], Collection[str]]
"""Returns which of these rows of a task have judged models."""


@dataclass(frozen=True, slots=True)
class Retirement:
    """Held-out rows that go to training at once: whole documents and stories."""

    articles: list[str]
    answers: list[str]
    """What users and rules said of them: it follows."""
    labels: dict[str, str]
    """Test rows, with why each goes."""


@dataclass(frozen=True, slots=True)
class _Row:
    row_id: str
    task: str | None
    """None for an article."""
    is_label: bool
    event_time: datetime
    keys: tuple[str, ...]
    """Its document and its story."""
    stays: bool
    """Whether nothing moves it: an anchor, or a row that has moved before."""


def retirements(snapshot: Snapshot, tasks: Mapping[str, TaskSpec], judged: Judged) -> list[Retirement]:
    """Return what goes to training. `tasks` are those with enough newer test rows; the rows of any other keep theirs.

    A row goes once it lies behind its task's window and has judged at least once. Anchor rows never go, nor does a row that was
    moved to the test side.
    """
    rows = [*_examples(snapshot), *_articles(snapshot)]
    behind = _behind(snapshot, tasks)
    old: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row.is_label and row.task in behind and row.event_time < behind[row.task]:
            old[row.task].append(row.row_id)
    ready = {row_id for task, row_ids in old.items() for row_id in judged(task, row_ids)}
    oldest = min(behind.values(), default=None)
    if not ready or oldest is None:
        return []
    found: list[Retirement] = []
    for members in _together(rows):
        labels = [row for row in members if row.is_label]
        # Nobody has labelled a fresh article so far, and its label would be a test row.
        fresh = any(row.event_time >= oldest for row in members if row.task is None)
        if labels and not fresh and ready.issuperset(row.row_id for row in labels) and not any(row.stays for row in members):
            if not found or len(found[-1].labels) >= _AT_ONCE:
                found.append(Retirement([], [], {}))
            found[-1].labels.update((row.row_id, _why(tasks[row.task])) for row in labels if row.task is not None)
            found[-1].articles.extend(row.row_id for row in members if row.task is None)
            found[-1].answers.extend(row.row_id for row in members if row.task is not None and not row.is_label)
    return found


def _why(task: TaskSpec) -> str:
    return (
        f"it has judged models of {task.name}, lies more than {task.promotion.window_days:g} days (promotion.window_days) behind "
        "the newest test row, and enough newer ones have come"
    )


def _examples(snapshot: Snapshot) -> Iterator[_Row]:
    facts = ["row_id", "task", "split", "verdict", "origin", "story_id", "event_time", "dropped_because"]
    enriched = snapshot.scan("example_enrichment", facts, "split IN ('test', 'anchor')")
    names = snapshot.scan("examples", ["row_id", "document_id", "article_id"])
    for row in _listed(enriched.join(names, "row_id", join_type="inner")):
        stays = row["split"] == "anchor" or row["dropped_because"] is not None
        keys = _keys(document_of(row["document_id"], row["article_id"]), row["story_id"], row["row_id"])
        # What users and rules say of a text follows it.
        is_label = row["verdict"] is None and row["origin"] not in MADE
        yield _Row(row["row_id"], row["task"], is_label, row["event_time"], keys, stays)


def _articles(snapshot: Snapshot) -> Iterator[_Row]:
    facts = ["row_id", "split", "story_id", "event_time", "dropped_because"]
    enriched = snapshot.scan("article_enrichment", facts, "split = 'test'")
    for row in _listed(enriched.join(snapshot.scan("articles", ["row_id", "article_id"]), "row_id", join_type="inner")):
        stays = row["dropped_because"] is not None
        keys = _keys(row["article_id"], row["story_id"], row["row_id"])
        yield _Row(row["row_id"], None, is_label=False, event_time=row["event_time"], keys=keys, stays=stays)


def _listed(table: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - an Arrow table
    for batch in table.to_batches(max_chunksize=10_000):
        yield from batch.to_pylist()


def _keys(document: str | None, story: str | None, row_id: str) -> tuple[str, ...]:
    named = (f"document {document}" if document else "", f"story {story}" if story else "")
    return tuple(key for key in named if key) or (f"row {row_id}",)


def _behind(snapshot: Snapshot, tasks: Mapping[str, TaskSpec]) -> dict[str, datetime]:
    """Return by task from when on test rows are within the window: it ends at the newest one that may decide."""
    columns = ["task", "selected_by", "event_time"]
    newest: dict[str, datetime] = {}
    for row in _listed(snapshot.scan("example_enrichment", columns, "split = 'test' AND verdict IS NULL")):
        if row["task"] in tasks and row["selected_by"] in INDEPENDENT:
            newest[row["task"]] = max(newest.get(row["task"], row["event_time"]), row["event_time"])
    return {name: at - timedelta(days=tasks[name].promotion.window_days) for name, at in newest.items()}


def _together(rows: Sequence[_Row]) -> list[list[_Row]]:
    """Return rows that share a document or a story, with all that hang on to these, as one list each."""
    leads: dict[str, str] = {}

    def lead(key: str) -> str:
        while leads.setdefault(key, key) != key:
            leads[key] = leads[leads[key]]
            key = leads[key]
        return key

    for row in rows:
        first, *others = map(lead, row.keys)
        for other in others:
            leads[lead(other)] = lead(first)
    groups: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        groups[lead(row.keys[0])].append(row)
    return list(groups.values())
