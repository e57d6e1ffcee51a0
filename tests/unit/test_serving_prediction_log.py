"""The prediction log: never in the way of answers, bounded, complete when the log comes back, emptied at the stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.errors import RetryError
from consumers.events.schemas import PREDICTIONS_TOPIC
from consumers.log.embedded.log import EmbeddedLog
from consumers.log.protocols import EventSink
from daemon.serving.feedback import prediction_log
from daemon.serving.feedback.prediction_log import PredictionLog
from tests.support.served import eventually

ANSWER = {"label": "sports"}


class Gate:
    """The real sink behind a gate: while it is shut, the log takes nothing."""

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink
        self.shut = threading.Event()

    def publish(self, topic: str, value: bytes, *, key: bytes | None = None, headers: Any = ()) -> None:
        self._sink.publish(topic, value, key=key, headers=headers)

    def flush(self, timeout_s: float = 30.0) -> None:
        if self.shut.is_set():
            message = "the disk is full"
            raise RetryError(message)
        self._sink.flush(timeout_s)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_log, "_RETRY_S", 0.02)
    monkeypatch.setattr(prediction_log, "_GATHER_S", 0.005)


@pytest.fixture
def event_log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    log = EmbeddedLog(tmp_path / "events.db", retention=timedelta(days=1))
    yield log
    log.close()


@pytest.fixture
def sink(event_log: EmbeddedLog) -> Gate:
    return Gate(event_log.sink())


def count(event_log: EmbeddedLog) -> int:
    first, following = event_log.positions(PREDICTIONS_TOPIC)
    return following - first


def test_predictions_arrive_in_batches(event_log: EmbeddedLog, sink: Gate) -> None:
    log = PredictionLog(sink, max_event_bytes=10_000)
    ids = log.add("topics", "topics/v1", [f"text {number}" for number in range(1200)], [ANSWER] * 1200)
    assert len(set(ids)) == 1200
    assert log.close(10)
    assert count(event_log) == 1200


def test_while_the_log_takes_nothing_answers_go_on_and_nothing_is_lost_below_the_bound(
    event_log: EmbeddedLog, sink: Gate
) -> None:
    log = PredictionLog(sink, max_event_bytes=10_000)
    sink.shut.set()
    with capture_logs() as logs:
        for number in range(50):
            log.add("topics", "topics/v1", [f"text {number}"], [ANSWER])
        eventually(lambda: any(entry["event"] == "serving.predictions_unlogged" for entry in logs))
    assert count(event_log) == 0
    sink.shut.clear()
    assert log.close(10)
    assert count(event_log) == 50


def test_beyond_the_bound_predictions_go_unlogged_counted_and_said_once(
    event_log: EmbeddedLog, sink: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_log, "_MAX_WAITING", 10)
    unlogged: list[int] = []
    log = PredictionLog(sink, max_event_bytes=10_000, on_unlogged=unlogged.append)
    with log._changed:  # the thread cannot take any meanwhile
        with capture_logs() as logs:
            ids = log.add("topics", "topics/v1", ["text"] * 25, [ANSWER] * 25)
        assert len(ids) == 25, "every prediction is answered"
        assert log.waiting() == 10
    assert sum(unlogged) == 15
    assert len([entry for entry in logs if entry["event"] == "serving.predictions_unlogged"]) == 1
    assert log.close(10)
    assert count(event_log) == 10


def test_an_event_larger_than_ingest_takes_is_counted_as_unlogged(event_log: EmbeddedLog, sink: Gate) -> None:
    unlogged: list[int] = []
    log = PredictionLog(sink, max_event_bytes=1_000, on_unlogged=unlogged.append)
    log.add("topics", "topics/v1", ["x" * 2_000, "short"], [ANSWER, ANSWER])
    assert log.close(10)
    assert sum(unlogged) == 1
    assert count(event_log) == 1


def test_answers_of_another_kind_than_the_task_is_of_now_are_counted_as_unlogged(event_log: EmbeddedLog, sink: Gate) -> None:
    unlogged: list[int] = []
    log = PredictionLog(sink, max_event_bytes=10_000, on_unlogged=unlogged.append)
    [known] = log.add("topics", "topics/v1", ["text"], [ANSWER], kind="ner")
    assert log.recent(known) is not None
    log.add("topics", "topics/v2", ["text"], [{"spans": []}], kind="ner")
    assert log.close(10)
    assert sum(unlogged) == 1
    assert count(event_log) == 1


def test_a_stop_with_a_log_that_takes_nothing_ends_in_time_and_says_so(sink: Gate) -> None:
    log = PredictionLog(sink, max_event_bytes=10_000)
    sink.shut.set()
    log.add("topics", "topics/v1", ["text"], [ANSWER])
    assert not log.close(0.3)


def test_recent_predictions_are_found_and_forgotten_in_order(sink: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_log, "_MAX_RECENT", 3)
    log = PredictionLog(sink, max_event_bytes=10_000)
    ids = log.add("topics", "topics/v1", [f"text {number}" for number in range(5)], [ANSWER] * 5)
    assert [log.recent(one) is not None for one in ids] == [False, False, True, True, True]
    assert log.recent(ids[4]).text == "text 4"
    assert log.recent("p-unknown") is None
    assert log.close(10)
