"""Ingest into the real buffer: every type of event finds its table, whatever stands between them."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

from config.settings import load_settings
from consumers.dead_letters.store import DeadLetters
from consumers.erasure.requests import Erasures
from consumers.events.schemas import FEEDBACK_TOPIC
from consumers.ingest import Ingest
from consumers.log.embedded.log import EmbeddedLog
from tests.support.ingest_bench import open_buffer, publish, rows
from tests.support.sample_events import ARTICLE, BAD_INPUT, ERASE, LABEL, NOW, PREDICTION, RETRAIN, TASK_SCHEMA, TASKS, VALID

SETTINGS = load_settings().ingest.model_copy(update={"batch_events": 1000, "poll_timeout_s": 0.01, "min_free_disk_mib": 0})


def test_good_events_are_stored_between_every_kind_of_bad_one(tmp_path: Path) -> None:
    good = [LABEL | {"event_id": f"between-{number}", "text": f"text {number}"} for number in range(len(BAD_INPUT))]
    bad = [payload for payload, *_expected in BAD_INPUT.values()]
    stored_types = [event | {"event_id": f"type-{number}"} for number, event in enumerate(VALID) if event is not ERASE]
    stream = [event for pair in zip(bad, good, strict=True) for event in pair] + stored_types
    with (
        closing(EmbeddedLog(tmp_path / "events.db", retention=timedelta(days=14))) as log,
        closing(DeadLetters(tmp_path / "dead.db")) as dead_letters,
        closing(open_buffer(tmp_path / "buffer")) as buffer,
        closing(log.source("ingest", [FEEDBACK_TOPIC])) as source,
    ):
        publish(log, ((FEEDBACK_TOPIC, payload) for payload in stream))
        ingest = Ingest(
            source,
            buffer,
            dead_letters,
            erasures=Erasures(tmp_path),
            tasks=lambda: TASKS,
            settings=SETTINGS,
            data_dir=tmp_path,
            clock=lambda: NOW,
        )
        outcome = ingest.step()
        assert (outcome.inserted, outcome.dead, outcome.duplicates) == (len(good) + len(stored_types), len(bad), 0)
        assert [letter.offset for letter in reversed(dead_letters.list(limit=1000))] == list(range(0, 2 * len(bad), 2))
        stored = rows(buffer)
        assert {(event["event_id"], event["text"]) for event in good} <= set(stored["examples"])
        assert stored["articles"] == [(ARTICLE["article_id"], f"{ARTICLE['title']}\n\n{ARTICLE['body']}")]
        assert len(stored["retrains"]) == len([event for event in stored_types if event["type"] == "retrain"]) == 1
        assert [request.task for request in buffer.requests("task_schema")] == [TASK_SCHEMA["task"]]
        assert buffer.table_counts()["predictions"] == 1
        found = buffer.prediction(PREDICTION["prediction_id"])
        assert found is not None
        assert found.text == PREDICTION["text"]
        assert RETRAIN["reason"] in [event.reason for event in outcome.retrains]
