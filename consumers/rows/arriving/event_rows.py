"""Events as rows: which tables an event goes to, and with what columns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from consumers.events.schemas import AnyEvent, Article, Feedback, Label, PredictionMade, content_sha256
from consumers.log.protocols import Position

Row = dict[str, Any]
AS_CITED = "{}"
"""The target of a confirmation that cites an answer and repeats nothing of it, until the answer is there."""
# Labels and feedback share their ids: one event of either kind may stand in both tables.
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "articles": ("articles",),
    "answers": ("examples", "feedback"),
    "predictions": ("predictions",),
    "requests": ("requests",),
}


@dataclass(frozen=True, slots=True)
class Stored:
    """An event and its position in the log."""

    event: AnyEvent
    position: Position


def identity(event: AnyEvent) -> tuple[str, str]:
    """Return the family of tables an event belongs to, and the id by which it is known there."""
    if isinstance(event, Article):
        return "articles", event.event_id
    if isinstance(event, Label | Feedback):
        return "answers", event.event_id
    if isinstance(event, PredictionMade):
        return "predictions", event.prediction_id
    return "requests", event.event_id


def payload_sha256(event: AnyEvent) -> str:
    """Return the SHA-256 of an event's content; it distinguishes a redelivery from other content under a used id."""
    # A prediction is known by its own id: sent again under a new event id it is still the same prediction.
    content = event.model_copy(update={"event_id": event.prediction_id}) if isinstance(event, PredictionMade) else event
    # Without its time, which is often not the sender's: an undated import takes the file's, and feedback without one the moment
    # of its arrival. The same file copied, or the same feedback sent again, would look like other content.
    # Nor what nobody here knows: a crawler writes when it fetched an article, and other things that differ each time.
    timeless = content.model_dump_json(exclude={"occurred_at", *(content.model_extra or ())}, exclude_none=True)
    return hashlib.sha256(timeless.encode()).hexdigest()


def revision_id(event: Article, text_sha256: str, *, is_back: bool = False) -> str:
    """Return the id of an article's revision. `is_back`: an earlier revision had this content too, and another came between."""
    parts = [event.article_id, text_sha256, *([event.event_id] if is_back else [])]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def canonical_json(value: object) -> str:
    """Return JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def rows_of(
    stored: Stored, sha256: str, *, sequence: int, now: datetime, accepted: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Row]:
    """Return the rows an event becomes, keyed by table; `accepted` are the labels that each closed task accepts now."""
    event = stored.event
    arrival: Row = {
        "payload_sha256": sha256, "topic": stored.position.topic, "partition": stored.position.partition,
        "offset": stored.position.offset, "stored_seq": sequence, "event_time": event.occurred_at, "stored_at": now,
    }  # fmt: skip
    if isinstance(event, Article):
        text = event.text
        text_sha256 = content_sha256(text)
        return {
            "articles": {
                "row_id": revision_id(event, text_sha256), "event_id": event.event_id, "article_id": event.article_id,
                "text": text, "text_sha256": text_sha256, "url": event.url, "publisher": event.publisher, "source": event.source,
                "extra": event.extra_json(), **arrival,
            }
        }  # fmt: skip
    if isinstance(event, PredictionMade):
        return {
            "predictions": {
                "prediction_id": event.prediction_id, "event_id": event.event_id, "task": event.task,
                "model_version": event.model_version, "text": event.text, "answer": canonical_json(event.answer),
                "article_id": event.article_id, "answered_by": event.answered_by, **arrival,
            }
        }  # fmt: skip
    if isinstance(event, Label | Feedback):
        return _answer_rows(event, arrival, (accepted or {}).get(event.task))
    task = getattr(event, "task", None)
    return {
        "requests": {"event_id": event.event_id, "kind": event.type, "task": task, "body": event.model_dump_json(), **arrival}
    }


def example_row(ledger: Row, text: str, *, sequence: int, now: datetime) -> Row:
    """Return the example that a ledger row becomes once its text is known."""
    shared = (
        "task", "target", "origin", "verdict", "article_id", "document_id", "prediction_id", "model_version", "user_id", "source",
        "anchor", "accepted_labels", "annotator", "settles", "note", "request", "weight",
        "payload_sha256", "topic", "partition", "offset",
        "event_time",
    )  # fmt: skip
    text_sha256 = content_sha256(text)
    return {
        **{name: ledger[name] for name in shared},
        "row_id": ledger["event_id"], "text": text, "text_sha256": text_sha256,
        "selected_by": ledger["selected_by"] or ledger["origin"],
        "answer_sha256": answer_sha256(ledger["task"], text_sha256, ledger["target"]),
        "stored_seq": sequence, "stored_at": now,
    }  # fmt: skip


def answer_sha256(task: str, text_sha256: str, target: str) -> str:
    """Return the hash by which answers to one text are told to say the same; `target` is JSON."""
    return hashlib.sha256(f"{task}\n{text_sha256}\n{target}".encode()).hexdigest()


def _answer_rows(event: Label | Feedback, arrival: Row, accepted: Sequence[str] | None) -> dict[str, Row]:
    feedback = event if isinstance(event, Feedback) else None
    label = event if isinstance(event, Label) else None
    # What is confirmed is the answer that was shown, which comes with its own text.
    is_whole = event.text is not None and event.target is not None
    waits_for = "its text" if event.target is not None else "the prediction it confirms"
    ledger: Row = {
        "event_id": event.event_id, "task": event.task,
        "target": AS_CITED if event.target is None else canonical_json(event.target), "source": event.source,
        "origin": label.origin if label else "feedback",
        "anchor": label.anchor if label else False,
        "verdict": feedback.verdict if feedback else None,
        "article_id": event.article_id,
        "document_id": label.document_id if label else None,
        "annotator": label.annotator if label else None, "settles": label.settles if label else None,
        "note": label.note if label else None, "selected_by": label.selected_by if label else None,
        "request": label.request if label else None, "weight": label.weight if label else None,
        "prediction_id": feedback.prediction_id if feedback else None,
        "model_version": feedback.model_version if feedback else None,
        "user_id": feedback.user_id if feedback else None,
        "accepted_labels": None if accepted is None else canonical_json(sorted(accepted)),
        "status": "joined" if is_whole else "waiting",
        "reason": "" if is_whole else f"{waits_for} has not arrived yet",
        **arrival,
    }  # fmt: skip
    rows: dict[str, Row] = {}
    if is_whole and event.text is not None:
        rows["examples"] = example_row(ledger, event.text, sequence=arrival["stored_seq"], now=arrival["stored_at"])
    if feedback or not is_whole:
        rows["feedback"] = ledger
    return rows
