"""`perennial topics` and what follows from topics that were made with it, on a real broker of their own."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.structs import TopicPartition as KafkaPartition
from typer.testing import CliRunner

from config.errors import DeadLetterError, RetryError, UserError
from config.settings import Settings, load_settings
from consumers.dead_letters.store import Rejected
from consumers.dead_letters.topic import DeadLetterTopic
from consumers.events import schemas as events
from consumers.log.kafka import topics
from consumers.log.open import open_event_log
from consumers.log.protocols import Position, RawEvent, TopicPartition
from daemon.cli.main import app
from daemon.flow.groups import CONSUMERS
from daemon.flow.outbox import Publisher
from registry.store import Registry
from tests.kafka.broker import Broker, free_port
from tests.support.buffers import NOW
from tests.support.event_logs import read
from tests.support.kafka_logs import require_kafka
from tests.support.served import eventually

ABSENT = f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    require_kafka()
    own = Broker(tmp_path_factory.mktemp("kafka")).start()
    yield own
    own.kill()


@pytest.fixture
def settings(broker: Broker, tmp_path: Path) -> Settings:
    return load_settings(
        data_dir=tmp_path / "data", events={"backend": "kafka", "retention_days": 2.0},
        kafka={"bootstrap_servers": broker.address, "group_prefix": uuid.uuid4().hex},
    )  # fmt: skip


@pytest.fixture
def made(settings: Settings) -> Settings:
    topics.create_missing(settings, partitions=1, replication_factor=1)
    return settings


def raw(value: bytes | None, offset: int = 7, **more: Any) -> RawEvent:
    return RawEvent(Position(events.FEEDBACK_TOPIC, 0, offset), value, b"key", (("trace", b"\xff"),), NOW, **more)


def differences(settings: Settings) -> dict[str, tuple[str, ...]]:
    states = topics.create_missing(settings, partitions=1, replication_factor=1)
    return {state.name: state.differs for state in states if state.differs}


def test_topics_are_made_once_with_our_settings_and_told_when_they_differ(settings: Settings, broker: Broker) -> None:
    first = topics.create_missing(settings, partitions=2, replication_factor=1)
    assert [state.name for state in first] == list(events.TOPICS)
    assert all(state.created and state.partitions == 2 and not state.differs for state in first)
    assert not any(state.created for state in topics.create_missing(settings, partitions=5, replication_factor=1))
    with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
        configs = {"retention.ms": "1000"}
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, events.FEEDBACK_TOPIC, configs=configs)])
    # The controller has the change when it answers; the broker that is asked next learns of it a moment later.
    eventually(lambda: differences(settings), within_s=60)
    assert differences(settings) == {events.FEEDBACK_TOPIC: ("retention.ms is 1000, not 172800000",)}
    topics.create_missing(settings, partitions=1, replication_factor=1, update=True)
    eventually(lambda: not differences(settings), within_s=60)
    fixed = topics.create_missing(settings, partitions=1, replication_factor=1)
    assert all(state.partitions == 2 for state in fixed), "a topic is never made smaller"


def test_more_replicas_than_brokers_are_refused_in_words(settings: Settings, broker: Broker) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
        admin.delete_topics([name for name in admin.list_topics() if name.startswith("perennial.")])
    with pytest.raises(UserError, match="the cluster refused"):
        topics.create_missing(settings, partitions=1, replication_factor=3)


def test_the_embedded_log_has_no_topics_to_make() -> None:
    with pytest.raises(UserError, match=r"events\.backend is not kafka"):
        topics.describe(load_settings())


def test_the_commands_show_what_is_there(made: Settings, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_EVENTS__BACKEND", "kafka")
    monkeypatch.setenv("PERENNIAL_EVENTS__RETENTION_DAYS", "2")
    monkeypatch.setenv("PERENNIAL_KAFKA__BOOTSTRAP_SERVERS", broker.address)
    for command in (["topics", "create"], ["topics", "list"]):
        shown = CliRunner().invoke(app, command)
        assert shown.exit_code == 0, shown.output
        assert all(name in shown.output for name in events.TOPICS)
    monkeypatch.setenv("PERENNIAL_KAFKA__BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")
    failed = CliRunner().invoke(app, ["topics", "list"])
    assert isinstance(failed.exception, RetryError)


def test_asking_for_the_lag_joins_no_group(made: Settings, broker: Broker) -> None:
    group, topic = next(iter(CONSUMERS.items()))
    with closing(open_event_log(made)) as log, closing(log.source(group, [topic])) as source:
        assert source.lag() == {TopicPartition(topic, number): 0 for number in range(len(source.lag()))}
        name = f"{made.kafka.group_prefix}.{group}"
        with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
            described = admin.describe_groups([name])
            assert not described[name]["members"]


def test_a_rewind_goes_back_and_never_forward_and_waits_for_members_to_leave(made: Settings) -> None:
    topic = events.FEEDBACK_TOPIC
    with closing(open_event_log(made)) as log:
        with closing(log.sink()) as sink:
            for number in range(10):
                sink.publish(topic, b"%d" % number)
        first = log.source("g", [topic])
        found = read(first, 10)
        parts = {TopicPartition(*event.position[:2]) for event in found}
        ends = {part: max(event.position.offset + 1 for event in found if event.position[:2] == part) for part in parts}
        first.commit(ends)
        back = {part: end - 2 for part, end in ends.items()}
        with pytest.raises(RetryError, match="could not be reset"):
            log.rewind("g", back)
        first.close()
        log.rewind("g", back)
        log.rewind("g", {part: end + 5 for part, end in ends.items()})
        with closing(log.source("g", [topic])) as again:
            assert sum(again.lag().values()) == 2 * len(parts)
            read(again, 2 * len(parts))


def test_partitions_of_which_no_row_is_left_go_back_to_their_beginning(made: Settings, broker: Broker) -> None:
    topic = uuid.uuid4().hex
    with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
        admin.create_topics({topic: {"num_partitions": 3, "replication_factor": 1}}, wait_for_metadata=True)
    with closing(open_event_log(made)) as log:
        with closing(log.sink()) as sink:
            for number in range(60):
                sink.publish(topic, b"x", key=b"%d" % number)
        with closing(log.source("g", [topic])) as source:
            found = read(source, 60)
            source.commit({TopicPartition(*event.position[:2]): event.position.offset + 1 for event in found})
        log.rewind("g", {TopicPartition(topic, 0): 1})
        with closing(log.source("g", [topic])) as source:
            of_first = sum(event.position.partition == 0 for event in found)
            assert sum(source.lag().values()) == 60 - 1, f"{of_first} of 60 stood in the first partition"


def test_an_event_that_the_topic_never_takes_is_refused_and_the_others_are_durable(made: Settings) -> None:
    topic = events.PREDICTIONS_TOPIC
    with closing(open_event_log(made)) as log, closing(log.source(uuid.uuid4().hex, [topic])) as source:
        with closing(log.sink()) as sink:
            sink.publish(topic, b"small")
            # Random, so that packing does not help.
            sink.publish(topic, b"".join(uuid.uuid4().bytes for _ in range(300_000)))
            sink.publish(topic, b"small too")
            with pytest.raises(DeadLetterError, match=r"permanently refuses 1 of 3 events .* raise max\.message\.bytes"):
                sink.flush()
            sink.flush()
        assert {event.value for event in read(source, 2)} == {b"small", b"small too"}


def test_dead_letters_go_to_their_topic_with_position_and_reason(made: Settings) -> None:
    with closing(open_event_log(made)) as log, closing(log.sink()) as sink:
        DeadLetterTopic(sink).publish([
            Rejected(raw(b"{broken"), "not JSON", "body"),
            Rejected(raw(None, 8), "a tombstone"),
            Rejected(raw(b"x" * 10_000, 9), "too large", keep_bytes=False),
        ])  # fmt: skip
        with closing(log.source(uuid.uuid4().hex, [events.DEAD_LETTERS_TOPIC])) as source:
            letters = read(source, 3)
    told = [dict(letter.headers) for letter in letters]
    assert [letter.value for letter in letters] == [b"{broken", b"", b"x" * 4096]
    assert told[0]["trace"] == b"\xff"
    assert told[0]["perennial-position"] == f"{events.FEEDBACK_TOPIC}/0/7".encode()
    assert (told[0]["perennial-reason"], told[0]["perennial-field"]) == (b"not JSON", b"body")
    assert told[2]["perennial-bytes"] == b"10000"


def test_what_happens_to_models_can_be_followed_also_when_the_broker_was_away(made: Settings, tmp_path: Path) -> None:
    with Registry.open(f"sqlite:///{tmp_path / 'registry.db'}") as registry, closing(open_event_log(made)) as log:
        for number in range(250):
            registry.outbox.add({"type": "model.promoted", "task": "news-topics", "version": f"news-topics/v{number}"})
        away = open_event_log(made.model_copy(update={"kafka": made.kafka.model_copy(update={"bootstrap_servers": ABSENT})}))
        with closing(away.sink()) as unreachable, pytest.raises(RetryError):
            Publisher(registry, unreachable).step()
        assert len(registry.outbox.pending(limit=1000)) == 250
        with closing(log.sink()) as sink:
            publisher = Publisher(registry, sink)
            assert [publisher.step() for _ in range(3)] == [0.0, 0.0, 1.0]
        assert registry.outbox.pending() == []
        with closing(log.source(uuid.uuid4().hex, [events.LIFECYCLE_TOPIC])) as source:
            followed = [json.loads(event.value or b"") for event in read(source, 250)]
    assert [event["version"] for event in followed] == [f"news-topics/v{number}" for number in range(250)]
    assert len({event["event_id"] for event in followed}) == 250


def test_erased_events_are_found_wherever_they_stand_and_gone_with_their_retention(made: Settings, broker: Broker) -> None:
    marker = uuid.uuid4().hex.encode()
    with closing(open_event_log(made)) as log:
        with closing(log.sink()) as sink:
            sink.publish(events.FEEDBACK_TOPIC, b"of the user " + marker)
            sink.publish(events.FEEDBACK_TOPIC, b"of another")
            sink.publish(events.DEAD_LETTERS_TOPIC, b"broken, of the user " + marker)
            sink.publish(events.FEEDBACK_TOPIC, None, key=b"a tombstone")
        found = log.find(lambda value: marker in value)
        assert sorted(position.topic for position in found) == [events.DEAD_LETTERS_TOPIC, events.FEEDBACK_TOPIC]
        assert log.erase(found) == set(found), "the brokers keep them until the retention ends"
        with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
            admin.delete_records({KafkaPartition(at.topic, at.partition): at.offset + 1 for at in found})
        assert log.erase(found) == set()
        assert log.find(lambda value: marker in value) == []
