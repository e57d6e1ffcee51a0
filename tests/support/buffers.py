"""A real buffer in a folder, short ways to make events, and findings that need no model."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from config.sections import BufferSettings, FeedbackSettings
from config.settings import SHIPPED_TASKS_DIR, load_settings
from config.tasks import load_tasks
from consumers.buffer.open import open_writer
from consumers.buffer.writer import BufferWriter
from consumers.defence.judging import JudgeOutcome
from consumers.events.schemas import (
    TOPIC_OF_TYPE,
    AnyEvent,
    Article,
    Feedback,
    FeedbackReview,
    Label,
    PredictionMade,
    Retrain,
    TaskSchema,
)
from consumers.log.protocols import Position
from consumers.rows.arriving.event_rows import Stored
from consumers.rows.backlog import TextRow
from consumers.rows.enrichment_rows import Enrichment
from consumers.tables.columns import TextTable

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
TASKS = load_tasks(SHIPPED_TASKS_DIR)
TOPICS = TASKS["news-topics"]
ENTITIES = TASKS["news-entities"]
SETTINGS = BufferSettings(optimize_every=20, keep_versions_hours=1.0, retention_days=0.0, predictions_days=0.0)
FEEDBACK = load_settings().feedback
WIDTH = 4


class Moving:
    """A clock that tests put forward."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> Moving:
        """Let time pass: `days`, `hours`, as timedelta names them."""
        self.now += timedelta(**by)
        return self


@contextmanager
def opened(folder: Path, settings: BufferSettings = SETTINGS, **more: Any) -> Iterator[BufferWriter]:
    """Open the buffer for writing and close it again."""
    buffer = open_writer(folder, settings, **{"tasks": TASKS, "clock": lambda: NOW} | more)
    try:
        yield buffer
    finally:
        buffer.close()


def label(event_id: str, text: str | None = "Rates rise", name: str = "economy", *, hours: float = 0, **more: Any) -> Label:
    """A gold label, `hours` before now."""
    occurred_at = NOW - timedelta(hours=hours)
    fields = {"task": "news-topics", "target": {"label": name}} | more
    return Label(event_id=event_id, occurred_at=occurred_at, text=text, **fields)


def feedback(event_id: str, text: str | None = None, name: str = "economy", *, hours: float = 0, **more: Any) -> Feedback:
    """A correction, `hours` before now."""
    occurred_at = NOW - timedelta(hours=hours)
    fields = {"task": "news-topics", "target": {"label": name}, "user_id": "u-1", "verdict": "correction"} | more
    return Feedback(event_id=event_id, occurred_at=occurred_at, text=text, **fields)


def spans(event_id: str, text: str | None, *marks: tuple[int, int, str], partial: bool = False, **more: Any) -> Label:
    """A gold label of the entity task."""
    target = {"spans": [{"start": start, "end": end, "label": name} for start, end, name in marks], "partial": partial}
    return label(event_id, text, task="news-entities", target=target, **more)


def article(event_id: str, article_id: str = "a-1", body: str = "The ECB acted.", *, hours: float = 0) -> Article:
    """An article without a title."""
    return Article(event_id=event_id, occurred_at=NOW - timedelta(hours=hours), article_id=article_id, body=body)


def prediction(prediction_id: str, text: str = "Rates rise", *, event_id: str | None = None, **more: Any) -> PredictionMade:
    """An answer that serving gave."""
    fields = {"task": "news-topics", "model_version": "news-topics/v1", "answer": {"label": "sport"}, "occurred_at": NOW} | more
    return PredictionMade(event_id=event_id or prediction_id, prediction_id=prediction_id, text=text, **fields)


def retrain(event_id: str, task: str = "news-topics") -> Retrain:
    """A request for a run."""
    return Retrain(event_id=event_id, occurred_at=NOW, task=task, reason="new desk")


def review(event_id: str, decision: Literal["accept", "reject"], **selection: Any) -> FeedbackReview:
    """A person's decision about feedback."""
    return FeedbackReview(event_id=event_id, occurred_at=NOW, decision=decision, **selection)


def accepted(event_id: str, *event_ids: str) -> FeedbackReview:
    """A person lets feedback in."""
    return review(event_id, "accept", event_ids=event_ids)


def renaming(event_id: str, hours: float = 0, **renames: str) -> TaskSchema:
    """Labels of the topics task are renamed."""
    return TaskSchema(event_id=event_id, occurred_at=NOW - timedelta(hours=hours), task="news-topics", renames=renames)


def stored(*events: AnyEvent, offset: int = 0) -> list[Stored]:
    """Events as they stand in the log, one after the other."""
    return [Stored(event, Position(TOPIC_OF_TYPE[event.type], 0, offset + number)) for number, event in enumerate(events)]


def finding(row: TextRow, split: str = "train", quality: float = 0.9, **more: Any) -> Enrichment:
    """What enrichment might find; the embedding and the story follow from the text alone."""
    fields: dict[str, Any] = {
        "language": "en", "quality_reasons": (), "encoder_id": "test", "story_id": f"story-{zlib.crc32(row.text.encode())}",
        "embedding": [float(byte) for byte in zlib.crc32(row.text.encode()).to_bytes(WIDTH)],
    }  # fmt: skip
    return Enrichment(row_id=row.row_id, quality=quality, split=split, **fields | more)  # type: ignore[arg-type]  # any split


def always_train(row: TextRow) -> str:
    """Anchors are anchors; everything else trains."""
    return "anchor" if row.anchor else "train"


def enrich(
    buffer: BufferWriter,
    table: TextTable = "examples",
    *,
    split: Callable[[TextRow], str] = always_train,
    portion: int = 1000,
    **more: Any,
) -> Sequence[TextRow]:
    """Enrich everything that waits in a table; returns it."""
    done: list[TextRow] = []
    while rows := buffer.unenriched(table, portion):
        buffer.apply_enrichment(table, [finding(row, split(row), **more) for row in rows])
        done += rows
    judge(buffer)
    return done


def take(buffer: BufferWriter, *events: AnyEvent, offset: int = 0, **enriching: Any) -> None:
    """Store events, whose offsets begin at `offset`, and enrich them as `enrich` is told."""
    buffer.insert(stored(*events, offset=offset))
    enrich(buffer, **enriching)


def judge(buffer: BufferWriter, policy: FeedbackSettings = FEEDBACK) -> list[JudgeOutcome]:
    """Judge all feedback that waits, and again all that must be; returns what each step did."""
    outcomes = [buffer.judge_feedback(policy)]
    while outcomes[-1].waiting:
        outcomes.append(buffer.judge_feedback(policy))
    return outcomes
