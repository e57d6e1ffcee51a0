"""Articles without a label of the task: what a teacher can label for a student."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from config.task_files.sections.quality import Quality
from consumers.fitness import rules
from consumers.fitness.facts import facts
from consumers.rows.labels.unlabelled import id_of
from consumers.tables.lance import Snapshot
from consumers.training_set.selection import Candidate

TABLES = ("articles", "article_enrichment")


@dataclass(slots=True)
class Taken:
    """What an unlabelled text must have nothing in common with: the labelled texts, and whatever is held out."""

    texts: set[str] = field(default_factory=set)
    """SHA-256."""
    documents: set[str] = field(default_factory=set)
    stories: set[str] = field(default_factory=set)

    def noting(self, candidates: Iterable[Candidate]) -> Iterator[Candidate]:
        """Pass the task's rows on, and note them."""
        for row in candidates:
            self.texts.add(row.text_sha256)
            if row.split != "train":
                self.documents.update([row.document] if row.document is not None else [])
                self.stories.update([row.story_id] if row.story_id is not None else [])
            yield row


def newest(snapshot: Snapshot, taken: Taken, *, most: int, min_quality: float, policy: Quality) -> pa.Table:
    """Return the newest articles of the train split: `example_id`, `text`, `event_time`, `story_id`, `language`, `document_id`.

    Each text once, of an article its newest revision; none that is `taken`, or that breaks a rule of the task's `policy`.
    """
    names = ["row_id", "event_time", "text_sha256", "story_id", "language"]
    found = facts(snapshot, policy, "split = 'train'", table="articles", more=tuple(names))
    fit = pa.array(rules.first_broken(policy, found) == 0)
    found = found.filter(pc.and_(fit, pc.greater_equal(found["quality"], min_quality))).select(names)
    kept = snapshot.scan("articles", ["row_id", "event_id", "article_id"])
    found = found.join(kept, "row_id", join_type="inner").sort_by([("event_time", "descending"), ("event_id", "ascending")])
    chosen: list[dict[str, object]] = []
    texts, documents = set(taken.texts), set(taken.documents)
    for batch in found.to_batches():
        for row in batch.to_pylist():
            if len(chosen) == most:
                break
            older = row["article_id"] in documents
            documents.add(row["article_id"])
            if not (older or row["text_sha256"] in texts or row["story_id"] in taken.stories):
                texts.add(row["text_sha256"])
                chosen.append(row)
    by_row = {str(row["row_id"]): row for row in chosen}
    read = snapshot.lookup("articles", "row_id", sorted(by_row), ["row_id", "text"]).to_pylist() if by_row else []
    rows = [(by_row[one["row_id"]], one["text"]) for one in read]
    return pa.table(
        {
            "example_id": pa.array([id_of(str(row["event_id"])) for row, _text in rows], pa.string()),
            "text": pa.array([text for _row, text in rows], pa.string()),
            "event_time": pa.array([row["event_time"] for row, _text in rows], pa.timestamp("us", tz="UTC")),
            "story_id": pa.array([row["story_id"] or row["row_id"] for row, _text in rows], pa.string()),
            "language": pa.array([row["language"] or "" for row, _text in rows], pa.string()),
            "document_id": pa.array([row["article_id"] for row, _text in rows], pa.string()),
        }
    )
