"""What every event log promises. One suite, run over each implementation."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from consumers.log.protocols import EventSource, TopicPartition
from tests.support.event_logs import IMPLEMENTATIONS, LogUnderTest, read

PARTITION = TopicPartition("news", 0)


@pytest.fixture(params=sorted(IMPLEMENTATIONS))
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LogUnderTest]:
    opened = IMPLEMENTATIONS[request.param](tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def publish(log: LogUnderTest) -> Iterator[Callable[..., None]]:
    """Publish values to a topic and wait until they are durable."""
    sink = log.sink()

    def _publish(*values: bytes, topic: str = "news") -> None:
        for value in values:
            sink.publish(topic, value)
        sink.flush()

    yield _publish
    sink.close()


def values_of(source: EventSource, count: int) -> list[bytes | None]:
    return [event.value for event in read(source, count)]


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def test_events_come_in_the_order_of_publishing_at_gapless_offsets(log: LogUnderTest, publish: Callable[..., None]) -> None:
    publish(*numbered(250))
    publish(b"last")
    with closing(log.source("g", ["news"])) as source:
        events = read(source, 251)
    assert [event.value for event in events] == [*numbered(250), b"last"]
    first = events[0].position.offset
    assert [event.position for event in events] == [("news", 0, first + step) for step in range(251)]


def test_values_keys_and_headers_are_any_bytes(log: LogUnderTest) -> None:
    every_byte = bytes(range(256))
    headers = (("trace", every_byte), ("trace", b""), ("ü", b"\x00"))
    with closing(log.sink()) as sink:
        sink.publish("news", every_byte, key=every_byte, headers=headers)
        sink.publish("news", b"", key=b"")
        sink.publish("news", None, key=b"tombstone")
        sink.publish("news", b"\xff\xfe" * 500_000)
        sink.flush()
    with closing(log.source("g", ["news"])) as source:
        events = read(source, 4)
    assert (events[0].value, events[0].key, tuple(events[0].headers)) == (every_byte, every_byte, headers)
    assert (events[1].value, events[1].key, tuple(events[1].headers)) == (b"", b"", ())
    assert (events[2].value, events[2].key) == (None, b"tombstone")
    assert (events[3].value, events[3].key) == (b"\xff\xfe" * 500_000, None)
    assert all(event.logged_at.tzinfo is not None for event in events)


def test_several_producer_processes_lose_and_mix_up_nothing(log: LogUnderTest) -> None:
    names = ("a", "b", "c")
    producers = [subprocess.Popen(log.producer_command("news", name, 100), stdout=subprocess.DEVNULL) for name in names]
    assert [producer.wait(60) for producer in producers] == [0, 0, 0]
    with closing(log.source("g", ["news"])) as source:
        events = read(source, 300)
    first = events[0].position.offset
    assert [event.position.offset for event in events] == list(range(first, first + 300))
    for name in names:
        own = [event.value for event in events if event.key == name.encode()]
        assert own == [f"{name}-{number}".encode() for number in range(100)]


def test_several_threads_share_one_sink(log: LogUnderTest) -> None:
    sink = log.sink()

    def produce(name: str) -> None:
        for number in range(40):
            sink.publish("news", f"{name}-{number}".encode(), key=name.encode())
            if number % 5 == 4:
                sink.flush()

    threads = [threading.Thread(target=produce, args=(f"thread{index}",)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    # Nobody flushes here: what each thread flushed itself must be there already.
    with closing(log.source("g", ["news"])) as source:
        events = read(source, 240)
    for index in range(6):
        own = [event.value for event in events if event.key == f"thread{index}".encode()]
        assert own == [f"thread{index}-{number}".encode() for number in range(40)]
    sink.close()


def test_closing_a_sink_flushes_it(log: LogUnderTest) -> None:
    sink = log.sink()
    sink.publish("news", b"only closed")
    sink.close()
    with closing(log.source("g", ["news"])) as source:
        assert values_of(source, 1) == [b"only closed"]


def test_a_committed_position_survives_reopening(log: LogUnderTest, publish: Callable[..., None]) -> None:
    publish(*numbered(10))
    with closing(log.source("g", ["news"])) as source:
        events = read(source, 10)
        source.commit({PARTITION: events[5].position.offset + 1})
    with closing(log.source("g", ["news"])) as source:
        assert values_of(source, 4) == numbered(10)[6:]


def test_uncommitted_events_come_again(log: LogUnderTest, publish: Callable[..., None]) -> None:
    publish(*numbered(5))
    with closing(log.source("g", ["news"])) as source:
        assert values_of(source, 5) == numbered(5)
        assert source.poll(timeout_s=0.1, max_events=10) == [], "within one source each event comes once"
    with closing(log.source("g", ["news"])) as source:
        assert values_of(source, 5) == numbered(5)


def test_a_position_never_moves_backwards(log: LogUnderTest, publish: Callable[..., None]) -> None:
    publish(*numbered(10))
    with closing(log.source("g", ["news"])) as source:
        first = read(source, 10)[0].position.offset
        source.commit({PARTITION: first + 8})
        source.commit({PARTITION: first + 3})
    with closing(log.source("g", ["news"])) as source:
        assert values_of(source, 2) == [b"8", b"9"]


def test_committing_twice_is_as_committing_once(log: LogUnderTest, publish: Callable[..., None]) -> None:
    publish(*numbered(4))
    with closing(log.source("g", ["news"])) as source:
        position = read(source, 4)[1].position.offset + 1
        source.commit({PARTITION: position})
        source.commit({PARTITION: position})
        source.commit({})
        assert source.lag() == {PARTITION: 2}
    with closing(log.source("g", ["news"])) as source:
        assert values_of(source, 2) == [b"2", b"3"]


def test_groups_are_independent(log: LogUnderTest, publish: Callable[..., None]) -> None:
    publish(*numbered(6))
    with closing(log.source("one", ["news"])) as one, closing(log.source("two", ["news"])) as two:
        events = read(one, 6)
        one.commit({PARTITION: events[-1].position.offset + 1})
        assert values_of(two, 6) == numbered(6)
        assert (one.lag(), two.lag()) == ({PARTITION: 0}, {PARTITION: 6})


def test_a_new_group_starts_at_the_earliest_event(log: LogUnderTest, publish: Callable[..., None]) -> None:
    publish(*numbered(3))
    with closing(log.source("late", ["news"])) as source:
        assert values_of(source, 3) == numbered(3)


def test_a_source_reads_its_topics_only_each_in_order(log: LogUnderTest, publish: Callable[..., None]) -> None:
    publish(*numbered(5), topic="news")
    publish(*numbered(5), topic="sport")
    publish(b"not asked for", topic="weather")
    with closing(log.source("g", ["news", "sport"])) as source:
        events = read(source, 10)
        for topic in ("news", "sport"):
            assert [event.value for event in events if event.position.topic == topic] == numbered(5)
        source.commit({TopicPartition("sport", 0): 2})
        assert source.lag() == {TopicPartition("news", 0): 5, TopicPartition("sport", 0): 3}
        assert source.poll(timeout_s=0.1, max_events=10) == []


def test_a_flooded_topic_does_not_starve_another(log: LogUnderTest, publish: Callable[..., None]) -> None:
    publish(*numbered(300), topic="flood")
    publish(b"correction", topic="feedback")
    with closing(log.source("g", ["flood", "feedback"])) as source:
        early = [event.value for _ in range(3) for event in source.poll(timeout_s=5, max_events=50)]
        assert b"correction" in early
        rest = values_of(source, 301 - len(early))
    assert [value for value in early + rest if value != b"correction"] == numbered(300)


def test_lag_counts_what_is_not_committed(log: LogUnderTest, publish: Callable[..., None]) -> None:
    with closing(log.source("g", ["news"])) as source:
        assert source.lag() == {PARTITION: 0}
        publish(*numbered(7))
        assert source.lag() == {PARTITION: 7}
        events = read(source, 7)
        assert source.lag() == {PARTITION: 7}, "reading is not committing"
        source.commit({PARTITION: events[-1].position.offset + 1})
        assert source.lag() == {PARTITION: 0}


def test_a_poll_returns_at_most_what_was_asked_for(log: LogUnderTest, publish: Callable[..., None]) -> None:
    publish(*numbered(10))
    with closing(log.source("g", ["news"])) as source:
        first = source.poll(timeout_s=5, max_events=4)
        assert 1 <= len(first) <= 4
        assert values_of(source, 10 - len(first)) == numbered(10)[len(first) :]


def test_an_empty_poll_waits_its_timeout_without_spinning(log: LogUnderTest) -> None:
    with closing(log.source("g", ["news"])) as source:
        source.poll(timeout_s=0.1, max_events=1)
        wall, cpu = time.monotonic(), time.process_time()
        assert source.poll(timeout_s=1.0, max_events=1) == []
        elapsed_s, cpu_s = time.monotonic() - wall, time.process_time() - cpu
    assert 0.9 <= elapsed_s < 3
    assert cpu_s < 0.25 * elapsed_s


def test_a_waiting_poll_returns_when_an_event_arrives(log: LogUnderTest, publish: Callable[..., None]) -> None:
    with closing(log.source("g", ["news"])) as source:
        source.poll(timeout_s=0.1, max_events=1)
        timer = threading.Timer(0.3, publish, [b"now"])
        timer.start()
        began = time.monotonic()
        events = source.poll(timeout_s=20, max_events=1)
        timer.join()
    assert [event.value for event in events] == [b"now"]
    assert time.monotonic() - began < 10
