"""A real Apache Kafka for tests: one broker for the whole run, and topics of its own for every test."""

from __future__ import annotations

import functools
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from kafka.admin import KafkaAdminClient, NewTopic

from config.settings import Settings
from consumers.log.kafka import topics
from consumers.log.kafka.log import KafkaLog
from consumers.log.protocols import EventSink, EventSource, RawEvent, TopicPartition
from tests.kafka.broker import Broker, MissingError, free_port, resolve_jars
from tests.support.lasting import at_end
from tests.support.missing import missing
from tests.support.proxies import Proxy, proxied

PRODUCER = Path(__file__).with_name("producer.py")
TOPICS = ("news", "sport", "weather", "flood", "feedback")


def require_kafka() -> None:
    """Where no broker can run, skip the test, or fail it in CI; starts none."""
    try:
        resolve_jars()
    except MissingError as error:
        missing(str(error))


@functools.cache
def shared_broker() -> Broker:
    """Return the broker of this test run, started at its first use; as `require_kafka` where it cannot run."""
    require_kafka()
    folder = at_end.enter_context(tempfile.TemporaryDirectory(prefix="kafka-", ignore_cleanup_errors=True))
    broker = Broker(Path(folder)).start()
    at_end.callback(broker.kill)
    return broker


def mortal_broker() -> Broker:
    """Return a broker of this test run that a test may kill or freeze; it runs, whatever the last test did to it."""
    broker = _mortal_broker()
    if not broker.runs:
        broker.start()
    broker.thaw()
    return broker


@functools.cache
def _mortal_broker() -> Broker:
    require_kafka()
    folder = at_end.enter_context(tempfile.TemporaryDirectory(prefix="kafka-", ignore_cleanup_errors=True))
    broker = Broker(Path(folder))
    at_end.callback(broker.kill)
    return broker


@contextmanager
def proxied_broker(folder: Path) -> Iterator[tuple[Broker, Proxy]]:
    """Run a broker that tells clients of its own address, and those that come through the proxy of the proxy's."""
    require_kafka()
    behind, before = free_port(), free_port()
    listeners = f"""
listeners=PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller}},PROXIED://127.0.0.1:{behind}
advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},PROXIED://127.0.0.1:{before}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT
"""
    broker = Broker(folder, properties=listeners).start()
    try:
        with proxied(f"kafka://127.0.0.1:{behind}", before) as proxy:
            yield broker, proxy
    finally:
        broker.kill()


def empty_topics(settings: Settings, partitions: int = 1) -> None:
    """Make the topics that a daemon lives on once more, so that nothing of an earlier test is in them."""
    with closing(KafkaAdminClient(bootstrap_servers=settings.kafka.servers)) as admin:
        present = set(admin.list_topics()).intersection(topics.TOPICS)
        if present:
            admin.delete_topics(sorted(present))
        # Taken away behind the answer.
        while set(admin.list_topics()).intersection(topics.TOPICS):
            time.sleep(0.05)
    topics.create_missing(settings, partitions=partitions, replication_factor=1)


def change_on_disk(broker: Broker, topic: str, change: Callable[[bytearray], None]) -> Callable[[], None]:
    """Change what a running broker keeps of a topic's partition 0, in place; return what puts the bytes back."""
    segment = next((broker.folder / "logs" / f"{topic}-0").glob("*.log"))
    before = segment.read_bytes()
    content = bytearray(before)
    change(content)
    assert len(content) == len(before)

    def write(wanted: bytes) -> None:
        # Only the bytes that differ: the broker goes on appending to the same file.
        with segment.open("r+b") as file:
            for place, (is_now, is_wanted) in enumerate(zip(segment.read_bytes(), wanted, strict=False)):
                if is_now != is_wanted:
                    file.seek(place)
                    file.write(bytes([is_wanted]))

    write(bytes(content))
    return lambda: write(before)


def batch_at(log: bytes, needle: bytes) -> tuple[int, int]:
    """Return where the batch that holds `needle` begins and ends in a segment (8 bytes base offset, 4 bytes length, the rest)."""
    start = 0
    while True:
        end = start + 12 + int.from_bytes(log[start + 8 : start + 12])
        if needle in log[start:end]:
            return start, end
        start = end


class KafkaUnderTest:
    """An empty log: topics that no other test uses, under the names that the test knows."""

    def __init__(self, _folder: Path) -> None:
        self._broker = shared_broker()
        self._prefix = f"{uuid.uuid4().hex[:8]}."
        admin = KafkaAdminClient(bootstrap_servers=self._broker.address)
        admin.create_topics([NewTopic(self._prefix + topic, num_partitions=1, replication_factor=1) for topic in TOPICS])
        admin.close()
        self._log = KafkaLog([self._broker.address])

    def source(self, group: str, topics: Sequence[str]) -> EventSource:
        return _Source(self._log.source(self._prefix + group, [self._prefix + topic for topic in topics]), self._prefix)

    def sink(self) -> EventSink:
        return _Sink(self._log.sink(), self._prefix)

    def producer_command(self, topic: str, name: str, events: int) -> list[str]:
        return [sys.executable, str(PRODUCER), f"kafka:{self._broker.address}", self._prefix + topic, name, str(events), "10"]

    def close(self) -> None:
        self._log.close()


class _Source:
    def __init__(self, source: EventSource, prefix: str) -> None:
        self._source = source
        self._prefix = prefix

    def poll(self, *, timeout_s: float, max_events: int) -> Sequence[RawEvent]:
        return [
            replace(event, position=event.position._replace(topic=event.position.topic.removeprefix(self._prefix)))
            for event in self._source.poll(timeout_s=timeout_s, max_events=max_events)
        ]

    def hold(self) -> None:
        self._source.hold()

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        self._source.commit({part._replace(topic=self._prefix + part.topic): offset for part, offset in next_offsets.items()})

    def lag(self) -> Mapping[TopicPartition, int]:
        return {part._replace(topic=part.topic.removeprefix(self._prefix)): lag for part, lag in self._source.lag().items()}

    def close(self) -> None:
        self._source.close()


class _Sink:
    def __init__(self, sink: EventSink, prefix: str) -> None:
        self._sink = sink
        self._prefix = prefix

    def publish(
        self, topic: str, value: bytes | None, *, key: bytes | None = None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        self._sink.publish(self._prefix + topic, value, key=key, headers=headers)

    def flush(self, timeout_s: float = 30.0) -> None:
        self._sink.flush(timeout_s)

    def close(self) -> None:
        self._sink.close()
