"""What only Kafka does to its clients: absent, killed and returning brokers, missing topics, members that share partitions."""

from __future__ import annotations

import gc
import logging
import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.structs import TopicPartition as KafkaPartition
from structlog.testing import capture_logs

from config.errors import RetryError
from consumers.events.schemas import ARTICLES_TOPIC
from consumers.log.kafka import connection, positions
from consumers.log.kafka import log as logs
from consumers.log.kafka import sink as sinks
from consumers.log.kafka import source as sources
from consumers.log.kafka.kept import KeptEvents
from consumers.log.kafka.log import KafkaLog
from consumers.log.protocols import EventSource, RawEvent, TopicPartition
from tests.kafka.broker import Broker, free_port
from tests.support.event_logs import read
from tests.support.kafka_logs import mortal_broker, shared_broker


@pytest.fixture
def broker() -> Broker:
    return shared_broker()


@pytest.fixture
def log(broker: Broker) -> Iterator[KafkaLog]:
    opened = KafkaLog([broker.address])
    yield opened
    opened.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up within a second instead of ten."""
    for module in (connection, positions, sinks, sources, logs):
        for name, milliseconds in (("CONNECT_MS", 500), ("REQUEST_MS", 1_000)):
            monkeypatch.setattr(module, name, milliseconds, raising=False)


def topic(broker: Broker, partitions: int = 1) -> str:
    name = uuid.uuid4().hex
    make_topic(broker, name, partitions)
    return name


def make_topic(broker: Broker, name: str, partitions: int = 1) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
        admin.create_topics([NewTopic(name, num_partitions=partitions, replication_factor=1)])


def publish(log: KafkaLog, name: str, values: range, keyed: bool = False) -> None:
    with closing(log.sink()) as sink:
        for number in values:
            sink.publish(name, b"%d" % number, key=b"%d" % number if keyed else None)


def numbers(source: EventSource, count: int) -> list[int]:
    return [int(event.value or b"-1") for event in read(source, count)]


@pytest.mark.usefixtures("impatient")
def test_a_broker_that_is_absent_is_told_and_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    # What pytest captures holds the exceptions, and those the sockets.
    caplog.set_level(logging.CRITICAL, "kafka")
    absent = KafkaLog([f"127.0.0.1:{free_port()}"])

    def held() -> tuple[int, int]:
        gc.collect()
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    before = held()
    for _ in range(3):
        with closing(absent.source("g", ["news"])) as source, pytest.raises(RetryError, match="no Kafka broker answers at 127"):
            source.poll(timeout_s=0.1, max_events=1)
        with closing(absent.sink()) as sink, pytest.raises(RetryError, match="no Kafka broker answers"):
            sink.publish("news", b"1")
    assert held() == before


@pytest.mark.usefixtures("impatient")
def test_a_topic_that_does_not_exist_is_never_made_by_accident(broker: Broker, log: KafkaLog) -> None:
    name = uuid.uuid4().hex
    with closing(log.sink()) as sink, pytest.raises(RetryError, match="perennial topics create"):
        sink.publish(name, b"1")
    with closing(log.source("g", [name])) as source:
        assert source.poll(timeout_s=0.5, max_events=1) == []
        with pytest.raises(RetryError, match="does not exist"):
            source.lag()
    with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
        assert name not in admin.list_topics()


def test_a_member_joins_with_the_partitions_known(broker: Broker, log: KafkaLog, caplog: pytest.LogCaptureFixture) -> None:
    name = topic(broker)
    publish(log, name, range(1))
    for number in range(5):
        with closing(log.source(f"g{number}{name}", [name])) as source:
            assert numbers(source, 1) == [0]
    assert "No partition metadata" not in caplog.text, "the first assignment was empty"


def test_a_topic_made_after_joining_is_read_however_short_the_polls_are(broker: Broker, log: KafkaLog) -> None:
    for _ in range(3):
        name = uuid.uuid4().hex
        with closing(log.source("g" + name, [name])) as source:
            for _ in range(100):
                assert source.poll(timeout_s=0.004, max_events=1) == []
            make_topic(broker, name)
            publish(log, name, range(1))
            deadline = time.monotonic() + 20
            # Shorter than a rebalance: each round of it ends between two polls.
            while not (events := source.poll(timeout_s=0.004, max_events=1)) and time.monotonic() < deadline:
                pass
            assert [event.value for event in events] == [b"0"]


def test_members_share_the_partitions_and_a_leaver_loses_nothing(broker: Broker, log: KafkaLog) -> None:
    name, group = topic(broker, partitions=4), uuid.uuid4().hex
    publish(log, name, range(400), keyed=True)
    seen: set[int] = set()
    with closing(log.source(group, [name])) as stays:
        with closing(log.source(group, [name])) as leaves:
            shared = {"stays": 0, "leaves": 0}
            for _ in range(100):
                for who, source in (("stays", stays), ("leaves", leaves)):
                    events = source.poll(timeout_s=0.1, max_events=20)
                    shared[who] += len(events)
                    if who == "stays":
                        # Only one of them commits: what the other has read must come again.
                        seen |= {int(event.value or b"-1") for event in events}
                        source.commit({TopicPartition(*event.position[:2]): event.position.offset + 1 for event in events})
                if shared["leaves"] and shared["stays"]:
                    break
            assert all(shared.values()), f"one member got everything: {shared}"
        for _ in range(100):
            events = stays.poll(timeout_s=0.2, max_events=100)
            seen |= {int(event.value or b"-1") for event in events}
            stays.commit({TopicPartition(*event.position[:2]): event.position.offset + 1 for event in events})
            if len(seen) == 400:
                break
        assert seen == set(range(400))
        assert sum(stays.lag().values()) == 0


@pytest.mark.parametrize(("events", "at_once"), [((120, 60), 50), ((30, 90), 20), ((100, 25), 40)])
def test_what_waited_while_another_topic_had_its_turn_is_read_on(
    broker: Broker, log: KafkaLog, events: tuple[int, int], at_once: int
) -> None:
    names = [topic(broker), topic(broker)]
    for name, count in zip(names, events, strict=True):
        publish(log, name, range(count))
    with closing(log.source(uuid.uuid4().hex, names)) as source:
        found: list[tuple[str, int]] = []
        for _ in range(40):
            found += [(event.position.topic, event.position.offset) for event in source.poll(timeout_s=0.5, max_events=at_once)]
            if len(found) >= sum(events):
                break
        assert sorted(found) == sorted(
            (name, offset) for name, count in zip(names, events, strict=True) for offset in range(count)
        )


def test_a_commit_for_a_partition_that_another_member_took_over_is_left_out(broker: Broker, log: KafkaLog) -> None:
    name, group = topic(broker), uuid.uuid4().hex
    publish(log, name, range(5))
    with closing(log.source(group, [name])) as source:
        assert numbers(source, 5) == list(range(5))
        source.commit({TopicPartition(name, 0): 2, TopicPartition("taken over", 3): 9})
    with closing(log.source(group, [name])) as source:
        assert numbers(source, 3) == [2, 3, 4]


def test_events_removed_unread_are_alarmed(broker: Broker, log: KafkaLog) -> None:
    name, group = topic(broker), uuid.uuid4().hex
    publish(log, name, range(10))
    with closing(log.source(group, [name])) as source:
        numbers(source, 3)
        source.commit({TopicPartition(name, 0): 3})
    with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
        admin.delete_records({KafkaPartition(name, 0): 7})
    assert log.beginning(name) == {TopicPartition(name, 0): 7}
    with capture_logs() as said, closing(log.source(group, [name])) as source:
        found = read(source, 3)
        assert [(int(event.value or b"-1"), event.missing_before) for event in found] == [(7, 4), (8, 0), (9, 0)]
    [gap] = [entry for entry in said if entry["event"] == "event_log.gap"]
    assert (gap["expected"], gap["earliest"], gap["missing"]) == (3, 7, 4)


def test_a_gap_that_could_not_be_looked_into_is_counted_once_and_loses_nothing(
    broker: Broker, log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = topic(broker)
    publish(log, name, range(6))
    with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin, closing(log.source("g", [name])) as source:
        assert numbers(source, 2) == [0, 1]
        source.commit({TopicPartition(name, 0): 2})
        source.close()
        admin.delete_records({KafkaPartition(name, 0): 4})
        look, failures = KeptEvents.any_between, iter([True, True])

        def slow_at_first(*arguments: Any) -> bool:
            if next(failures, False):
                message = "the broker did not answer in time"
                raise RetryError(message)
            return look(*arguments)

        monkeypatch.setattr(KeptEvents, "any_between", slow_at_first)
        found: list[RawEvent] = []
        refused = 0
        while len(found) < 2:
            try:
                found += source.poll(timeout_s=1, max_events=10)
            except RetryError:
                refused += 1
        assert refused == 2
        assert [(event.value, event.missing_before) for event in found] == [(b"4", 2), (b"5", 0)]


@pytest.fixture
def transactions(broker: Broker) -> Iterator[KafkaProducer]:
    with closing(KafkaProducer(bootstrap_servers=broker.address, transactional_id=uuid.uuid4().hex)) as producer:
        producer.init_transactions()
        yield producer


def send_in_one(producer: KafkaProducer, name: str, *values: bytes, commit: bool = True) -> None:
    producer.begin_transaction()
    for value in values:
        producer.send(name, value)
    producer.flush()
    if commit:
        producer.commit_transaction()
    else:
        producer.abort_transaction()


def test_what_a_transaction_takes_back_is_no_event_and_no_gap(broker: Broker, log: KafkaLog, transactions: KafkaProducer) -> None:
    name = topic(broker)
    for number in range(20):
        send_in_one(transactions, name, b"%d" % number, commit=number % 5 != 2)
    with closing(log.source("g" + name, [name])) as source, capture_logs() as told:
        events = read(source, 16)
    kept = [number for number in range(20) if number % 5 != 2]
    assert [(event.position.offset, event.value) for event in events] == [(2 * n, b"%d" % n) for n in kept]
    assert [event.missing_before for event in events] == [0] * 16
    assert told == []


def test_what_is_left_of_transactions_is_no_lag(broker: Broker, log: KafkaLog, transactions: KafkaProducer) -> None:
    name = topic(broker)
    part = TopicPartition(name, 0)
    send_in_one(transactions, name, b"1", b"2")
    with closing(log.source("g" + name, [name])) as source, closing(log.source("g" + name, [name])) as onlooker:
        assert numbers(source, 2) == [1, 2]
        assert onlooker.lag() == {part: 3}
        source.commit({part: 2})
        assert onlooker.lag() == {part: 0}
        send_in_one(transactions, name, b"3", b"4", b"5", commit=False)
        assert onlooker.lag() == {part: 0}
        assert source.poll(timeout_s=0.5, max_events=1) == []
        send_in_one(transactions, name, b"6")
        assert onlooker.lag()[part] > 0
        assert numbers(source, 1) == [6]
        source.commit({part: 8})
        assert onlooker.lag() == {part: 0}


def test_an_open_transaction_is_waited_for(broker: Broker, log: KafkaLog, transactions: KafkaProducer) -> None:
    name = topic(broker)
    transactions.begin_transaction()
    transactions.send(name, b"1")
    transactions.flush()
    publish(log, name, range(2, 3))
    with closing(log.source("g" + name, [name])) as source:
        assert source.poll(timeout_s=1, max_events=10) == []
        assert source.lag() == {TopicPartition(name, 0): 0}
        transactions.commit_transaction()
        assert numbers(source, 2) == [1, 2]


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_a_search_ends_when_the_broker_freezes_in_the_middle() -> None:
    broker = mortal_broker()
    make_topic(broker, ARTICLES_TOPIC)
    with closing(KafkaLog([broker.address])) as log:
        with closing(log.sink()) as sink:
            for _ in range(8):
                # More than one answer of the broker brings.
                sink.publish(ARTICLES_TOPIC, random.randbytes(500_000))
            sink.flush()
        searched: list[bytes] = []

        def freeze_at_the_first(value: bytes) -> bool:
            if not searched:
                broker.freeze()
            searched.append(value)
            return False

        with pytest.raises(RetryError):
            log.find(freeze_at_the_first)
        assert 0 < len(searched) < 8
        broker.thaw()
        assert log.find(lambda _value: True)[-1].offset == 7


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_a_killed_broker_is_waited_for_and_no_event_is_lost() -> None:
    own = mortal_broker()
    log = KafkaLog([own.address])
    name = topic(own)
    publish(log, name, range(3))
    with closing(log.source("g", [name])) as source:
        assert numbers(source, 3) == [0, 1, 2]
        source.commit({TopicPartition(name, 0): 3})
        sink = log.sink()
        sink.publish(name, b"3")
        sink.flush()
        own.kill()
        sink.publish(name, b"4")
        with pytest.raises(RetryError, match="They are kept"):
            sink.flush(timeout_s=4)
        own.start()
        flushed = False
        for _ in range(30):
            try:
                sink.flush()
            except RetryError:
                continue
            flushed = True
            break
        assert flushed
        sink.close()
        found: set[int] = set()
        for _ in range(100):
            try:
                found |= {int(event.value or b"-1") for event in source.poll(timeout_s=0.5, max_events=10)}
            except RetryError:
                continue
            if found >= {3, 4}:
                break
        assert found == {3, 4}


@pytest.mark.slow
def test_a_sink_closed_while_its_broker_is_away_says_what_is_left_and_leaves_nothing_running(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sinks, "_CLOSING_FLUSH_S", 1.0)
    own = mortal_broker()
    name = topic(own)
    before = threading.active_count()
    sink = KafkaLog([own.address]).sink()
    sink.publish(name, b"0")
    sink.flush()
    own.kill()
    sink.publish(name, b"1")
    with pytest.raises(RetryError, match="has not accepted 1 of 1 events"):
        sink.close()
    assert threading.active_count() == before
