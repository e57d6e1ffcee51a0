"""Labels that people gave where two models disagree: kept from training while the pair is open, and what they say of it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow.compute as pc

from config.tasks import TaskSpec
from consumers.defence.agreement import relation
from consumers.rows.eligibility import WITHHELD
from consumers.rows.labels.renames import in_force
from consumers.tables.columns import quoted
from consumers.tables.lance import Tables
from consumers.training_set.targets import usable_target

_ANSWER = ["row_id", "request", "text", "text_sha256", "target", "annotator", "settles", "article_id", "event_time"]


@dataclass(frozen=True, slots=True)
class Withheld:
    """A label that trains nothing yet."""

    row_id: str
    request: str | None
    """What it answers."""


@dataclass(frozen=True, slots=True)
class RequestAnswer:
    """What a person said where two models disagree."""

    row_id: str
    request: str
    text_sha256: str
    target: Mapping[str, Any]
    """Under the names of today."""
    annotator: str | None
    settles: bool


@dataclass(frozen=True, slots=True)
class AskedText:
    """A text that somebody is asked about, as the buffer holds it."""

    event_id: str
    """Of the event that brought it."""
    text: str
    document: str
    story: str | None
    event_time: datetime
    language: str


def withheld(tables: Tables) -> list[Withheld]:
    """Return the enriched labels that train nothing while their pair of models is open."""
    rows = tables.scan("example_enrichment", ["row_id"], f"selected_by = {quoted(WITHHELD)}")["row_id"].to_pylist()
    found = tables.lookup("examples", "row_id", rows, ["row_id", "request"]) if rows else None
    return [] if found is None else [Withheld(row["row_id"], row["request"]) for row in found.to_pylist()]


def answers_to(tables: Tables, task: TaskSpec, requests: Collection[str]) -> dict[str, list[RequestAnswer]]:
    """Return what people said to these requests, oldest first; what fits the task no more is left out."""
    where = f"task = {quoted(task.name)} AND selected_by = {quoted(WITHHELD)}"
    rows = tables.scan("examples", [*_ANSWER, "stored_seq"], where).sort_by("stored_seq").to_pylist()
    task = in_force(tables, task)
    found: dict[str, list[RequestAnswer]] = defaultdict(list)
    for row in rows:
        target = usable_target(row["target"], task, (task.renames,)) if row["request"] in requests else None
        if target is not None:
            found[row["request"]].append(
                RequestAnswer(
                    row["row_id"], row["request"], row["text_sha256"], json.loads(target), row["annotator"], bool(row["settles"])
                )
            )
    return dict(found)


def agreed(answers: Sequence[RequestAnswer]) -> RequestAnswer | None:
    """Return the answer that counts of those to one request, oldest first; None where people contradict each other.

    Of one person the newest counts. What was said to settle a difference counts before all else.
    """
    settled = [one for one in answers if one.settles]
    if settled:
        return settled[-1]
    newest = {one.annotator: one for one in answers}
    first, *others = newest.values()
    return None if any(relation(first.target, other.target) != "same" for other in others) else answers[-1]


def texts_asked_about(tables: Tables, text_sha256s: Collection[str]) -> dict[str, AskedText]:
    """Return the articles with these texts, by SHA-256; one that was erased, or is too old to be kept, is missing."""
    wanted = sorted(text_sha256s)
    columns = ["row_id", "event_id", "text", "text_sha256", "article_id", "event_time"]
    articles = tables.lookup("articles", "text_sha256", wanted, columns) if wanted else None
    if articles is None or not articles.num_rows:
        return {}
    placed = tables.lookup("article_enrichment", "row_id", articles["row_id"].to_pylist(), ["row_id", "story_id", "language"])
    of_row = {row["row_id"]: row for row in placed.to_pylist()}
    newest_last = articles.take(pc.sort_indices(articles, [("event_time", "ascending")])).to_pylist()
    return {
        row["text_sha256"]: AskedText(
            row["event_id"], row["text"], row["article_id"], of_row.get(row["row_id"], {}).get("story_id"), row["event_time"],
            of_row.get(row["row_id"], {}).get("language") or "",
        )
        for row in newest_last
    }  # fmt: skip
