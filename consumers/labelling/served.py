"""Texts that a task's models were asked about, drawn at random: whatever was answered, and of nothing that trains."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from config.tasks import TaskSpec
from consumers.events.schemas import content_sha256
from consumers.labelling.offers import Offer
from consumers.tables.columns import quoted
from consumers.tables.lance import Tables

MOST = 500
"""Texts that are drawn at most at a time."""
_LOOKED_AT = 2 * MOST
"""Predictions that are looked at for them: some texts were asked about before, and some train."""
_TRAINS = "split = 'train'"


def served(tables: Tables, task: TaskSpec) -> list[Offer]:
    """Return texts of predictions in the order of a draw that nobody can sway: by the SHA-256 of the prediction's id.

    Each prediction within `promotion.window_days` of the newest has the same chance, each text comes once. Left out is what a
    version has learnt or may learn: the text, its document or its story has examples on the train side, of whatever task.
    """
    asked = tables.scan("predictions", ["prediction_id", "article_id", "event_time"], f"task = {quoted(task.name)}")
    newest = pc.max(asked["event_time"]).as_py()
    if newest is None:
        return []
    start = pa.scalar(newest - timedelta(days=task.promotion.window_days), asked["event_time"].type)
    asked = asked.filter(pc.greater_equal(asked["event_time"], start))
    places = pa.array([_place(one) for one in asked["prediction_id"].to_pylist()], pa.string())
    drawn = asked.append_column("place", places).sort_by("place").slice(0, _LOOKED_AT).to_pylist()
    stories, sides = _placed(tables, [row["article_id"] for row in drawn if row["article_id"]])
    learnt = _documents_that_train(tables, list(stories)) | _with_a_story_that_trains(tables, stories)
    # A teacher labels articles of the train side, and what its student learnt so is no example.
    taught = {"train"} if task.training.teacher is not None else set()
    learnt |= {article for article, side in sides.items() if side in {"dropped", "anchor", *taught}}
    drawn = [row for row in drawn if row["article_id"] not in learnt]
    texts = tables.lookup("predictions", "prediction_id", [row["prediction_id"] for row in drawn], ["prediction_id", "text"])
    hashes = {row["prediction_id"]: content_sha256(row["text"]) for row in texts.to_pylist()}
    of_training = tables.lookup("example_enrichment", "text_sha256", sorted(set(hashes.values())), ["text_sha256"], _TRAINS)
    seen = set(of_training["text_sha256"].to_pylist())
    found: list[Offer] = []
    for row in drawn:
        text, article = hashes[row["prediction_id"]], row["article_id"]
        if text not in seen and len(found) < MOST:
            seen.add(text)
            at = row["event_time"].astimezone(UTC)
            found.append(Offer(row["prediction_id"], article, text, stories.get(article), at, sides.get(article) == "test"))
    return found


def _place(prediction_id: str) -> str:
    return hashlib.sha256(f"served\n{prediction_id}".encode("utf-8", "surrogatepass")).hexdigest()


def _placed(tables: Tables, articles: Sequence[str]) -> tuple[dict[str, str | None], dict[str, str]]:
    """Return the story and the split of those of these articles that are placed; a side that keeps it from the draw wins."""
    rows = tables.lookup("articles", "article_id", sorted(set(articles)), ["row_id", "article_id"])
    placed = tables.lookup("article_enrichment", "row_id", rows["row_id"].to_pylist(), ["row_id", "story_id", "split"])
    of_row = dict(zip(rows["row_id"].to_pylist(), rows["article_id"].to_pylist(), strict=True))
    stories: dict[str, str | None] = dict.fromkeys(articles)
    sides: dict[str, str] = {}
    for row in placed.to_pylist():
        article = of_row[row["row_id"]]
        stories[article] = row["story_id"]
        sides[article] = min(sides.get(article, row["split"]), row["split"], key=_STRICTEST.index)
    return stories, sides


_STRICTEST = ("anchor", "dropped", "train", "test")


def _documents_that_train(tables: Tables, articles: Sequence[str]) -> set[str]:
    """Return those of these articles that are documents of examples on the train side."""
    names = ["row_id", "document_id", "article_id"]
    rows = pa.concat_tables([tables.lookup("examples", name, articles, names) for name in names[1:]])
    of_row = {row["row_id"]: row["document_id"] or row["article_id"] for row in rows.to_pylist()}
    train = tables.lookup("example_enrichment", "row_id", sorted(of_row), ["row_id"], _TRAINS)["row_id"].to_pylist()
    return {of_row[row_id] for row_id in train}


def _with_a_story_that_trains(tables: Tables, stories: dict[str, str | None]) -> set[str]:
    """Return the articles whose stories have examples on the train side."""
    known = sorted({story for story in stories.values() if story is not None})
    train = set(tables.lookup("example_enrichment", "story_id", known, ["story_id"], _TRAINS)["story_id"].to_pylist())
    return {article for article, story in stories.items() if story in train}
