"""A consumer group that changes hands in the middle of a batch: what was not committed comes again and is stored once."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaConsumer
from kafka.admin import KafkaAdminClient, NewTopic

from config.errors import RetryError
from config.sections import IngestSettings
from config.settings import load_settings
from consumers.buffer.writer import BufferWriter
from consumers.dead_letters.store import DeadLetters
from consumers.erasure.requests import Erasures
from consumers.ingest import Ingest
from consumers.log.kafka import source as sources
from consumers.log.kafka.log import KafkaLog
from consumers.log.protocols import EventSource, TopicPartition
from tests.support.ingest_bench import open_buffer, rows
from tests.support.kafka_logs import shared_broker
from tests.support.sample_events import LABEL, NOW, TASKS, wire

pytestmark = pytest.mark.slow

EVENTS, PARTITIONS, BATCH = 200, 4, 25
LIMIT_S = 90.0
SETTINGS: IngestSettings = load_settings(
    ingest={"batch_events": BATCH, "poll_timeout_s": 0.2, "min_free_disk_mib": 0}
).ingest  # fmt: skip


@pytest.fixture
def log() -> KafkaLog:
    return KafkaLog([shared_broker().address])


@pytest.fixture
def topic(log: KafkaLog) -> str:
    """A topic of four partitions that keeps `EVENTS` labels."""
    name = uuid.uuid4().hex
    with closing(KafkaAdminClient(bootstrap_servers=shared_broker().address)) as admin:
        admin.create_topics([NewTopic(name, num_partitions=PARTITIONS, replication_factor=1)])
    with closing(log.sink()) as sink:
        for number in range(EVENTS):
            sink.publish(name, wire(LABEL | {"event_id": f"l-{number}", "text": f"text {number}"}), key=b"%d" % number)
    return name


@pytest.fixture
def buffer(tmp_path: Path) -> Iterator[BufferWriter]:
    with closing(open_buffer(tmp_path / "buffer")) as opened:
        yield opened


def ingest(source: EventSource, buffer: BufferWriter, folder: Path) -> Ingest:
    return Ingest(
        source, buffer, DeadLetters(folder / "dead.db"), erasures=Erasures(folder), tasks=lambda: TASKS, settings=SETTINGS,
        data_dir=folder, clock=lambda: NOW,
    )  # fmt: skip


def wait_until(happened: Callable[[], bool], act: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        act()


def step(one: Ingest) -> int:
    """Take one step, as the daemon does; return how many events it took."""
    try:
        return one.step().polled
    except RetryError:
        return 0


class Interrupted:
    """The real source, except that something happens between a batch that was stored and its commit, once."""

    def __init__(self, source: EventSource, between: Callable[[], None]) -> None:
        self._source = source
        self._between: Callable[[], None] | None = between
        self.poll, self.hold, self.lag, self.close = source.poll, source.hold, source.lag, source.close

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        between, self._between = self._between, None
        if between is not None:
            between()
        self._source.commit(next_offsets)


def check(buffer: BufferWriter) -> None:
    assert rows(buffer)["examples"] == sorted((f"l-{number}", f"text {number}") for number in range(EVENTS))


def test_a_rebalance_in_the_middle_of_a_batch_loses_and_doubles_nothing(
    log: KafkaLog, topic: str, buffer: BufferWriter, tmp_path: Path
) -> None:
    group = uuid.uuid4().hex
    taken_over: list[int] = []
    done = threading.Event()
    with (
        closing(log.source(group, [topic])) as member,
        closing(log.source(group, [topic])) as newcomer,
        closing(log.source(group, [topic])) as onlooker,
    ):
        second = ingest(newcomer, buffer, tmp_path)

        def take_over() -> None:
            while not done.is_set():
                if taken := step(second):
                    taken_over.append(taken)

        other = threading.Thread(target=take_over)

        def let_another_join() -> None:
            """Return when the newcomer has a share: the member's batch is stored, its positions are not committed."""
            other.start()
            wait_until(lambda: bool(taken_over), member.hold)

        first = ingest(Interrupted(member, let_another_join), buffer, tmp_path)
        try:
            wait_until(lambda: bool(taken_over) and not sum(onlooker.lag().values()), lambda: step(first))
        finally:
            done.set()
            other.join()
        check(buffer)


def test_processing_that_is_slower_than_the_poll_interval_goes_on_and_loses_nothing(
    log: KafkaLog, topic: str, buffer: BufferWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interval_s = 1.5
    opened, shortened = sources.opened, []

    def hasty(kind: object, connection: object, **settings: object) -> object:
        short = {"max_poll_interval_ms": int(1000 * interval_s)} if kind is KafkaConsumer and "group_id" in settings else {}
        shortened.extend(short)
        return opened(kind, connection, **settings | short)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(sources, "opened", hasty)
    store, slow = buffer.insert, 2

    def slowly(batch: object) -> object:
        """Take longer over the first batches than the group waits for a member."""
        nonlocal slow
        if slow:
            slow -= 1
            time.sleep(2 * interval_s)
        return store(batch)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(buffer, "insert", slowly)
    with closing(log.source(uuid.uuid4().hex, [topic])) as source:
        slow_one = ingest(source, buffer, tmp_path)
        wait_until(lambda: not slow and not sum(source.lag().values()), lambda: step(slow_one))
        check(buffer)
    assert shortened, "the group's patience was less than the batch took"
