"""One daemon that ingests from Kafka and serves while its broker is absent, frozen, killed, damaged and loses events.

The tests are stages of one life, in order: each begins where the one before ended, and none may lose what was acknowledged.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from crc32c import crc32c
from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.structs import TopicPartition as KafkaPartition

from config.errors import PerennialError
from consumers.events.schemas import DEAD_LETTERS_TOPIC, FEEDBACK_TOPIC, to_bytes
from consumers.log.kafka import topics
from consumers.log.open import open_event_log
from daemon.demo.installation import Installation
from tests.kafka.broker import Broker, free_port
from tests.support.daemons import (
    ENTITIES,
    VICTIM,
    Asker,
    check_one_champion,
    check_stored_once,
    dead_letters,
    give_champion,
    installation,
    labels,
    logged,
    send,
    wait_until,
    wait_until_stored,
)
from tests.support.kafka_logs import batch_at, change_on_disk, require_kafka
from tests.support.sample_events import BAD_INPUT, wire

pytestmark = pytest.mark.slow

MAX_EVENT_BYTES = 100_000
REQUESTS_TIME_OUT_S = 16.0
"""Longer than a request to a broker waits for its answer."""

FETCHES_WAIT_S = 1.0
"""Longer than a broker keeps a fetch waiting for events."""


@dataclass
class Life:
    """The daemon, its broker, and what was acknowledged to producers."""

    daemon: Installation
    broker: Broker
    acknowledged: list[str] = field(default_factory=list)

    def send(self, count: int, prefix: str) -> None:
        self.acknowledged += send(self.daemon, count, prefix=prefix)

    def check(self) -> None:
        """Everything acknowledged is stored, once, and the champion is the one it was."""
        wait_until_stored(self.daemon, self.acknowledged)
        check_one_champion(self.daemon, ENTITIES, f"{ENTITIES}/v1")

    def post_feedback(self, event_id: str) -> bool:
        """Post one correction; return whether it was acknowledged. The key is the same each time: it must not be stored twice."""
        target = {"spans": [{"start": 4, "end": 11, "label": "ORG"}]}
        body = {"event_id": event_id, "task": ENTITIES, "user_id": "u-1", "verdict": "correction", "target": target}
        try:
            self.daemon.post("/v1/feedback", body | {"text": f"The Riksdag met. {event_id}"})
        except PerennialError:
            return False
        self.acknowledged.append(event_id)
        return True


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Life]:
    require_kafka()
    folder = tmp_path_factory.mktemp("life")
    broker = Broker(folder / "kafka", free_port())
    ingest = {"max_event_bytes": MAX_EVENT_BYTES, "poll_timeout_s": 0.2}
    daemon = installation(folder, models, serve=True, kafka=broker.address, ingest=ingest)
    give_champion(daemon)
    daemon.start([VICTIM, "impatient,unenriched"])
    yield Life(daemon, broker)
    assert daemon.stop() == 0
    broker.kill()


@contextmanager
def admin_of(broker: Broker) -> Iterator[KafkaAdminClient]:
    with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
        yield admin


@contextmanager
def not_reading(daemon: Installation) -> Iterator[None]:
    """Hold the daemon, so that what is published meanwhile is unread."""
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        # What it had asked for is answered with nothing by then; else it would find there what is published now.
        time.sleep(FETCHES_WAIT_S)
        yield
    finally:
        os.kill(daemon.pid, signal.SIGCONT)


def said(daemon: Installation, words: str, since: int = 0) -> bool:
    return any(words in line["reason"] for line in logged(daemon, "side_task.retry")[since:])


def lag(daemon: Installation) -> int:
    return daemon.status().lag[FEEDBACK_TOPIC]


def publish_raw(life: Life, *values: bytes | None) -> None:
    with closing(open_event_log(life.daemon.settings)) as log, closing(log.sink()) as sink:
        for value in values:
            sink.publish(FEEDBACK_TOPIC, value, key=b"key")


def publish_batches(life: Life, *batches: list[Any]) -> None:
    """Publish labels in batches that stay apart, and uncompressed, on the broker's disk."""
    with closing(KafkaProducer(bootstrap_servers=life.broker.address, linger_ms=200, acks="all")) as producer:
        for batch in batches:
            for label in batch:
                producer.send(FEEDBACK_TOPIC, to_bytes(label))
            producer.flush()


def test_a_broker_that_is_absent_at_start_is_waited_for(life: Life) -> None:
    with Asker(life.daemon):
        assert not life.post_feedback("f-absent"), "nobody promises what no log has taken"
        wait_until(lambda: said(life.daemon, "no Kafka broker answers"))
        life.broker.start()
        topics.create_missing(life.daemon.settings, partitions=1, replication_factor=1)
        wait_until(lambda: life.post_feedback("f-absent"))
        life.send(40, "absent-")
        life.check()


def test_a_frozen_broker_is_waited_for(life: Life) -> None:
    life.send(400, "frozen-")
    with Asker(life.daemon):
        life.broker.freeze()
        began = time.monotonic()
        assert not life.post_feedback("f-frozen")
        time.sleep(max(0.0, began + REQUESTS_TIME_OUT_S - time.monotonic()))
        life.broker.thaw()
        wait_until(lambda: life.post_feedback("f-frozen"))
        life.send(20, "thawed-")
        life.check()


def test_a_killed_broker_is_waited_for(life: Life) -> None:
    life.send(400, "killed-")
    with Asker(life.daemon):
        life.broker.kill()
        assert not life.post_feedback("f-killed")
        life.broker.start()
        wait_until(lambda: life.post_feedback("f-killed"))
        life.send(20, "back-")
        life.check()


def test_bad_events_among_good_ones_become_dead_letters_and_hold_nothing_up(life: Life) -> None:
    before = len(dead_letters(life.daemon))
    # One is bad only to a clock that stands in the past.
    bad = [wire(payload) for name, (payload, *_told) in BAD_INPUT.items() if name != "time far ahead"]
    bad += [b'{"type": "label", "text": "' + b"x" * MAX_EVENT_BYTES + b'"}', b"\xff\xfe"]
    good = list(labels(2 * len(bad), prefix="mixed-"))
    between, behind, spoilt = good[: len(bad)], good[len(bad) :], list(labels(6, prefix="spoilt-"))
    with Asker(life.daemon):
        with not_reading(life.daemon):
            pairs = zip(map(to_bytes, between), bad, strict=True)
            publish_raw(life, *(value for pair in pairs for value in pair), None)
            publish_batches(life, spoilt, behind)

            def flip(log: bytearray) -> None:
                log[log.index(to_bytes(spoilt[2]))] ^= 1

            change_on_disk(life.broker, FEEDBACK_TOPIC, flip)
        life.acknowledged += [label.event_id for label in good]
        life.check()
        wait_until(lambda: lag(life.daemon) == 0)
    told = dead_letters(life.daemon)[before:]
    assert len(told) == len(bad) + 2, "each bad event, the tombstone, and one for the damaged batch"
    assert sum("cannot be read (its checksum is wrong)" in reason for reason in told) == 1
    assert sum("(a tombstone)" in reason for reason in told) == 1
    with closing(open_event_log(life.daemon.settings)) as log:
        assert log.kept(DEAD_LETTERS_TOPIC) >= len(told)


def test_an_unknown_codec_makes_ingest_wait_and_loses_nothing(life: Life) -> None:
    packed = list(labels(6, prefix="packed-"))
    retries = len(logged(life.daemon, "side_task.retry"))
    with Asker(life.daemon):
        with not_reading(life.daemon):
            publish_batches(life, packed, list(labels(2, prefix="behind-")))

            def name_an_unknown_codec(log: bytearray) -> None:
                start, end = batch_at(bytes(log), to_bytes(packed[0]))
                log[start + 22] |= 7
                log[start + 17 : start + 21] = crc32c(bytes(log[start + 21 : end])).to_bytes(4)

            restore = change_on_disk(life.broker, FEEDBACK_TOPIC, name_an_unknown_codec)
        wait_until(lambda: said(life.daemon, "Unrecognized compression type: 7", retries))
        assert lag(life.daemon) >= len(packed)
        restore()
        life.acknowledged += [label.event_id for label in (*packed, *labels(2, prefix="behind-"))]
        life.check()


def test_without_the_dead_letter_topic_nothing_is_committed(life: Life) -> None:
    before, retries = len(dead_letters(life.daemon)), len(logged(life.daemon, "side_task.retry"))
    with Asker(life.daemon), admin_of(life.broker) as admin:
        admin.delete_topics([DEAD_LETTERS_TOPIC])
        publish_raw(life, b"not JSON")
        wait_until(lambda: said(life.daemon, DEAD_LETTERS_TOPIC, retries))
        life.send(20, "deleted-")
        assert lag(life.daemon) > 0
        topics.create_missing(life.daemon.settings, partitions=1, replication_factor=1)
        life.check()
        wait_until(lambda: lag(life.daemon) == 0)
    assert len(dead_letters(life.daemon)) == before + 1, "kept once, however often it was tried"


def test_a_dead_letter_topic_that_refuses_a_letter_is_told_of_and_holds_nothing_up(life: Life) -> None:
    before = len(dead_letters(life.daemon))
    with Asker(life.daemon), admin_of(life.broker) as admin:
        limit = ConfigResource(ConfigResourceType.TOPIC, DEAD_LETTERS_TOPIC, configs={"max.message.bytes": "1000"})
        admin.alter_configs([limit])
        publish_raw(life, os.urandom(2_000).hex().encode())
        life.send(20, "refused-")
        life.check()
        wait_until(lambda: lag(life.daemon) == 0)
        topics.create_missing(life.daemon.settings, partitions=1, replication_factor=1, update=True)
    assert len(dead_letters(life.daemon)) == before + 1, "it is in the file all the same"
    (refused,) = logged(life.daemon, "dead_letter_topic.refused")
    assert "raise max.message.bytes" in refused["reason"]


def test_events_removed_unread_raise_an_alarm_and_the_rest_is_read(life: Life) -> None:
    gone, kept = list(labels(6, prefix="gone-")), list(labels(6, prefix="kept-"))
    part = KafkaPartition(FEEDBACK_TOPIC, 0)
    with Asker(life.daemon):
        wait_until(lambda: lag(life.daemon) == 0)
        with not_reading(life.daemon), admin_of(life.broker) as admin:
            publish_batches(life, gone, kept)
            with closing(open_event_log(life.daemon.settings)) as log:
                end = log.kept(FEEDBACK_TOPIC)
            admin.delete_records({part: end - len(kept)})
        life.acknowledged += [label.event_id for label in kept]
        life.check()
    check_stored_once(life.daemon, life.acknowledged)
    (gap,) = logged(life.daemon, "event_log.gap")
    assert gap["missing"] == len(gone)
