"""Batches that cannot be read: damaged on the broker's disk, or packed with a codec that is not here."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import kafka.codec
import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
from structlog.testing import capture_logs

from config.errors import RetryError
from config.sections import IngestSettings
from config.settings import shipped_settings
from consumers.dead_letters.store import DeadLetters
from consumers.erasure.requests import Erasures
from consumers.events.schemas import to_bytes
from consumers.ingest import Ingest
from consumers.log.kafka.log import KafkaLog
from consumers.log.protocols import EventSource, RawEvent, TopicPartition
from tests.kafka.broker import Broker
from tests.support.buffers import TASKS, label, opened
from tests.support.kafka_logs import change_on_disk, shared_broker

pytestmark = pytest.mark.slow


@pytest.fixture
def broker() -> Broker:
    return shared_broker()


@pytest.fixture
def topic(broker: Broker) -> str:
    """Return a topic, whose name is also its readers' group."""
    name = uuid.uuid4().hex
    with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
        admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])
    return name


def source_of(broker: Broker, topic: str) -> EventSource:
    return KafkaLog([broker.address]).source(topic, [topic])


def send(broker: Broker, topic: str, batches: list[list[bytes]], compression: str | None = None) -> None:
    """Publish batches that stay apart on the broker's disk."""
    with closing(KafkaProducer(bootstrap_servers=broker.address, linger_ms=200, compression_type=compression)) as producer:
        for batch in batches:
            for value in batch:
                producer.send(topic, value)
            producer.flush()


def damage(broker: Broker, topic: str, *needles: bytes) -> None:
    """Change one bit inside each event that holds a needle, where the broker keeps it."""

    def change(content: bytearray) -> None:
        for needle in needles:
            content[content.index(needle)] ^= 1

    change_on_disk(broker, topic, change)


def poll_until(source: EventSource, enough: Callable[[list[RawEvent]], bool], attempts: int = 60) -> list[RawEvent]:
    found: list[RawEvent] = []
    for _ in range(attempts):
        try:
            found.extend(source.poll(timeout_s=0.5, max_events=100))
        except RetryError:
            continue
        if enough(found):
            return found
    raise AssertionError([event.value or event.unreadable for event in found])


def poll_until_error(source: EventSource) -> None:
    for _ in range(60):
        assert source.poll(timeout_s=0.5, max_events=10) == []


def named(*numbers: int) -> list[bytes]:
    return [b"event-%03d" % number for number in numbers]


def test_damaged_batches_are_skipped_one_by_one_and_what_stands_between_them_is_read(broker: Broker, topic: str) -> None:
    send(broker, topic, [named(0, 1), named(2, 3, 4, 5, 6), named(7), named(8, 9, 10), named(11, 12)])
    damage(broker, topic, b"event-004", b"event-009")
    with capture_logs() as said, closing(source_of(broker, topic)) as source:
        events = poll_until(source, lambda found: bool(found) and found[-1].value == b"event-012")
        assert [event.value for event in events if event.unreadable is None] == named(0, 1, 7, 11, 12)
        given_up = [event for event in events if event.unreadable is not None]
        assert [event.position.offset for event in given_up] == [6, 10]
        assert f"offsets 2 to 6 of {topic}/0 cannot be read" in str(given_up[0].unreadable)
        assert "offsets 8 to 10" in str(given_up[1].unreadable)
    assert any(entry["event"] == "event_log.unreadable" and entry["log_level"] == "error" for entry in said)


@pytest.mark.parametrize("commit", [True, False])
def test_damage_right_behind_a_transaction_is_skipped_too(broker: Broker, topic: str, commit: bool) -> None:
    with closing(KafkaProducer(bootstrap_servers=broker.address, transactional_id=topic)) as producer:
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(topic, named(0)[0])
        producer.flush()
        if commit:
            producer.commit_transaction()
        else:
            producer.abort_transaction()
    send(broker, topic, [named(2, 3), named(4)])
    damage(broker, topic, b"event-003")
    with closing(source_of(broker, topic)) as source:
        events = poll_until(source, lambda found: bool(found) and found[-1].value == b"event-004")
    [given_up] = [event for event in events if event.unreadable is not None]
    assert f"offsets 2 to 3 of {topic}/0 cannot be read" in str(given_up.unreadable)
    assert [event.value for event in events if event.unreadable is None] == (named(0, 4) if commit else named(4))


def test_nothing_is_skipped_before_something_behind_the_damage_can_be_read(broker: Broker, topic: str) -> None:
    send(broker, topic, [named(0), named(1, 2)])
    damage(broker, topic, b"event-001")
    with closing(source_of(broker, topic)) as source:
        assert [event.value for event in poll_until(source, bool)] == named(0)
        with pytest.raises(RetryError):
            source.poll(timeout_s=5, max_events=10)
        with pytest.raises(RetryError, match=r"cannot be read from offset 1 to its end .* Nothing is skipped"):
            source.poll(timeout_s=0.5, max_events=10)
        send(broker, topic, [named(3)])
        events = poll_until(source, lambda found: len(found) == 2)
        assert (events[0].position.offset, events[1].value) == (2, b"event-003")
        assert "offsets 1 to 2" in str(events[0].unreadable)


def test_a_missing_codec_makes_reading_wait_and_loses_nothing(
    broker: Broker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(broker, topic, [named(0)])
    # Long enough that packing pays.
    packed = [b"long " * 500, b"longer " * 500]
    send(broker, topic, [packed], compression="zstd")
    send(broker, topic, [named(3)])
    with closing(source_of(broker, topic)) as source:
        with monkeypatch.context() as without:
            without.setattr(kafka.codec, "has_zstd", lambda: False)
            assert [event.value for event in poll_until(source, bool)] == named(0)
            source.commit({TopicPartition(topic, 0): 1})
            with pytest.raises(RetryError, match="zstd"):
                poll_until_error(source)
            with pytest.raises(RetryError, match="zstd"):
                poll_until_error(source)
        assert [event.value for event in poll_until(source, lambda found: len(found) == 3)] == [*packed, b"event-003"]


def test_ingest_keeps_a_dead_letter_for_the_damage_and_goes_on_after_it(broker: Broker, topic: str, tmp_path: Path) -> None:
    texts = [to_bytes(label(f"l-{number}", f"headline number {number}")) for number in range(6)]
    send(broker, topic, [texts[:2], texts[2:4], texts[4:]])
    damage(broker, topic, b"headline number 3")
    settings: IngestSettings = shipped_settings("training").ingest
    with (
        opened(tmp_path / "buffer") as buffer,
        closing(DeadLetters(tmp_path / "dead.db")) as letters,
        closing(Erasures(tmp_path)) as erasures,
    ):
        for _ in range(2):  # the second one starts again, as after a crash
            with closing(source_of(broker, topic)) as source:
                ingest = Ingest(
                    source, buffer, letters, erasures=erasures, tasks=lambda: TASKS, settings=settings, data_dir=tmp_path
                )
                for _ in range(20):
                    try:
                        ingest.step()
                    except RetryError:
                        continue
                    if not sum(source.lag().values()):
                        break
                assert sum(source.lag().values()) == 0
        assert buffer.table_counts()["examples"] == 4
        [letter] = letters.list()
    assert (letter.position.offset, letter.replayable) == (3, False)
    assert f"offsets 2 to 3 of {topic}/0 cannot be read" in letter.reason
