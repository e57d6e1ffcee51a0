"""Feedback from an app straight to a real Kafka: the same event as serving's, durable, and one event however often it is sent."""

from __future__ import annotations

import gc
import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import KafkaAdminClient, NewTopic

from config.clock import utc_now
from config.settings import SHIPPED_TASKS_DIR
from config.tasks import load_tasks
from consumers.events import parsing
from consumers.events import schemas as events
from consumers.log.kafka.log import KafkaLog
from consumers.log.protocols import RawEvent
from perennial_client import RefusedError, UnavailableError
from perennial_client import feedback as feedback_event
from perennial_client.kafka import KafkaFeedback
from tests.kafka.broker import Broker, free_port
from tests.support.event_logs import read
from tests.support.kafka_logs import mortal_broker, shared_broker

TASKS = load_tasks(SHIPPED_TASKS_DIR)
FEEDBACK: dict[str, Any] = {
    "user_id": "desk-7", "verdict": "correction", "target": {"label": "politics"}, "text": "Löfven 😀 votes",
    "model_version": "news-topics/v1",
}  # fmt: skip


@pytest.fixture
def broker() -> Broker:
    return shared_broker()


@pytest.fixture
def topic(broker: Broker) -> str:
    return make_topic(broker)


def make_topic(broker: Broker, name: str = "", **options: Any) -> str:
    name = name or uuid.uuid4().hex
    with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
        admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1, **options)])
    return name


@pytest.fixture
def feedback(broker: Broker, topic: str) -> Iterator[KafkaFeedback]:
    with KafkaFeedback(broker.address, topic=topic) as opened:
        yield opened


def stored(broker: Broker, topic: str, count: int) -> list[RawEvent]:
    with closing(KafkaLog([broker.address]).source(uuid.uuid4().hex, [topic])) as source:
        return read(source, count, within_s=60)


def test_the_event_is_the_one_that_serving_would_publish(feedback: KafkaFeedback, broker: Broker, topic: str) -> None:
    before = utc_now()
    event_id = feedback.send("news-topics", **FEEDBACK)
    moment = datetime(2026, 11, 21, 10, 30, 0, 250_000, tzinfo=UTC)
    more = {"prediction_id": "p-1", "article_id": "a-1", "source": "cms", "event_id": "mine", "occurred_at": moment}
    spans = {"spans": [{"start": 0, "end": 6, "label": "PERSON"}], "partial": True}
    assert feedback.send("news-entities", **FEEDBACK | more | {"target": spans}) == "mine"
    found = stored(broker, topic, 2)
    for raw in found:
        assert raw.value is not None
        event = parsing.parse(raw.value, tasks=TASKS, now=utc_now())
        assert isinstance(event, events.Feedback)
        assert raw.value == events.to_bytes(event), "byte for byte"
        assert raw.key == event.event_id.encode()
    first, second = (parsing.parse(raw.value or b"", tasks=TASKS, now=utc_now()) for raw in found)
    assert first.event_id == event_id
    assert before <= first.occurred_at <= utc_now()
    assert second.occurred_at == moment
    assert feedback_event.TOPIC == events.FEEDBACK_TOPIC


def test_it_is_acknowledged_by_all_replicas_and_never_doubled_by_the_library(feedback: KafkaFeedback) -> None:
    feedback.send("news-topics", **FEEDBACK)
    config = feedback._producer.config
    assert (config["acks"], config["enable_idempotence"], config["allow_auto_create_topics"]) == (-1, True, False)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"user_id": "two\nlines"}, "user_id"), ({"user_id": None}, "user_id"), ({"event_id": "a\u200bb"}, "event_id"),
        ({"article_id": "x" * 513}, "article_id"), ({"prediction_id": 3}, "prediction_id"), ({"verdict": "wrong"}, "verdict"),
        ({"target": None}, "target"), ({"text": None}, None),
        ({"text": " "}, "text"), ({"text": "\ud800"}, None), ({"target": {"label": "\udfff"}}, None),
    ],
)  # fmt: skip
def test_what_would_become_a_dead_letter_is_refused(feedback: KafkaFeedback, changes: dict[str, Any], field: str | None) -> None:
    with pytest.raises(RefusedError) as refused:
        feedback.send("news-topics", **FEEDBACK | changes)
    assert refused.value.field == field
    assert feedback._producer is None, "nothing was sent"


def test_a_naive_time_and_an_unknown_field_are_refused(feedback: KafkaFeedback) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        feedback.send("news-topics", **FEEDBACK, occurred_at=datetime(2026, 1, 1))  # noqa: DTZ001 - what is tested
    with pytest.raises(TypeError, match="has no field lable"):
        feedback.send("news-topics", **FEEDBACK, lable="x")  # type: ignore[call-arg]  # what is tested


def test_threads_share_one_connection_and_every_event_arrives(feedback: KafkaFeedback, broker: Broker, topic: str) -> None:
    sent: list[str] = []

    def send() -> None:
        sent.extend(feedback.send("news-topics", **FEEDBACK) for _ in range(25))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sent) == sorted((raw.key or b"").decode() for raw in stored(broker, topic, 100))


def test_an_absent_broker_is_told_with_the_events_id_and_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    # What pytest captures holds the exceptions, and those the sockets.
    caplog.set_level(logging.CRITICAL, "kafka")

    def held() -> tuple[int, int]:
        gc.collect()
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    with KafkaFeedback([f"127.0.0.1:{free_port()}"], timeout_s=0.5) as absent:
        before = held()
        for _ in range(3):
            with pytest.raises(UnavailableError) as given_up:
                absent.send("news-topics", **FEEDBACK, event_id="mine")
            assert "event_id='mine'" in given_up.value.remedy
            assert "127.0.0.1" in given_up.value.where
            del given_up
        assert held() == before


def test_a_topic_that_does_not_exist_is_told(broker: Broker) -> None:
    with (
        KafkaFeedback(broker.address, topic="nowhere", timeout_s=2) as lost,
        pytest.raises(UnavailableError, match="topic exists"),
    ):
        lost.send("news-topics", **FEEDBACK)


def test_a_topic_that_is_made_later_is_found(broker: Broker) -> None:
    name = uuid.uuid4().hex
    with KafkaFeedback(broker.address, topic=name, timeout_s=5) as feedback:
        with pytest.raises(UnavailableError):
            feedback.send("news-topics", **FEEDBACK)
        make_topic(broker, name)
        send_until_taken(feedback, "mine")
    assert stored(broker, name, 1)[0].key == b"mine"


def test_an_event_that_is_too_large_takes_no_neighbour_with_it(broker: Broker) -> None:
    narrow = make_topic(broker, topic_configs={"max.message.bytes": "1000"})
    large = FEEDBACK | {"text": "".join(uuid.uuid4().hex for _ in range(200))}
    refused: list[RefusedError] = []
    with KafkaFeedback(broker.address, topic=narrow) as feedback:

        def send_large() -> None:
            for _ in range(10):
                try:
                    feedback.send("news-topics", **large)
                except RefusedError as error:
                    refused.append(error)

        thread = threading.Thread(target=send_large)
        thread.start()
        sent = [feedback.send("news-topics", **FEEDBACK) for _ in range(30)]
        thread.join()
    assert len(refused) == 10
    assert [raw.key for raw in stored(broker, narrow, 30)] == [event_id.encode() for event_id in sent]


def test_an_event_that_is_too_large_is_refused_before_it_is_sent(feedback: KafkaFeedback) -> None:
    with pytest.raises(RefusedError, match="too large"):
        feedback.send("news-topics", **FEEDBACK | {"text": "x" * (5 << 20)})


def send_until_taken(feedback: KafkaFeedback, event_id: str) -> None:
    for _ in range(20):
        with suppress(UnavailableError):
            feedback.send("news-topics", **FEEDBACK, event_id=event_id)
            return
    pytest.fail(f"{event_id} was never taken")


def test_a_broker_that_comes_back_takes_the_event_again() -> None:
    broker = mortal_broker()
    topic = make_topic(broker)
    with KafkaFeedback(broker.address, topic=topic, timeout_s=2) as feedback:
        send_until_taken(feedback, "first")
        broker.kill()
        with pytest.raises(UnavailableError):
            feedback.send("news-topics", **FEEDBACK, event_id="second")
        broker.start()
        send_until_taken(feedback, "second")
        send_until_taken(feedback, "third")
    keys: list[bytes | None] = []
    with closing(KafkaLog([broker.address]).source("test", [topic])) as source:
        # One that was taken but not acknowledged is there twice, under one id.
        while b"third" not in keys:
            keys += [raw.key for raw in read(source, 1, within_s=60)]
    assert {*keys} == {b"first", b"second", b"third"}
