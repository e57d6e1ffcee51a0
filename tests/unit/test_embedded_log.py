"""What only the embedded log does: retention, rewinding, gaps, and a file that is locked, full, newer or broken."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from config.errors import RetryError, StopError
from consumers.log.embedded import log as embedded
from consumers.log.embedded.log import EmbeddedLog
from consumers.log.protocols import EventSink, EventSource, Position, TopicPartition

PARTITION = TopicPartition("news", 0)


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2024, 5, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(tmp_path: Path, clock: Clock) -> Iterator[EmbeddedLog]:
    opened = EmbeddedLog(tmp_path / "deep" / "events.db", retention=timedelta(days=14), clock=clock)
    yield opened
    opened.close()


def publish(log: EmbeddedLog, count: int, *, topic: str = "news", size: int = 0) -> None:
    with closing(log.sink()) as sink:
        for number in range(count):
            sink.publish(topic, b"%d" % number + b"." * size)


def offsets(source: EventSource, max_events: int = 1000) -> list[int]:
    return [event.position.offset for event in source.poll(timeout_s=0, max_events=max_events)]


def test_retention_removes_what_is_old_and_read_by_every_group(log: EmbeddedLog, clock: Clock) -> None:
    quick, slow = log.source("quick", ["news"]), log.source("slow", ["news"])
    publish(log, 10)
    quick.commit({PARTITION: 10})
    slow.commit({PARTITION: 4})
    assert log.enforce_retention() == 0, "read, but young"
    clock.now += timedelta(days=15)
    publish(log, 3)
    assert log.enforce_retention() == 4, "old, but only the first four are read by both"
    assert log.positions("news") == (4, 13)
    slow.commit({PARTITION: 13})
    quick.commit({PARTITION: 13})
    assert log.enforce_retention() == 6, "the last three are young"
    assert log.positions("news") == (10, 13)


def test_a_group_that_never_committed_holds_its_events(log: EmbeddedLog, clock: Clock) -> None:
    publish(log, 5)
    log.source("opened once", ["news"]).close()
    clock.now += timedelta(days=15)
    assert log.enforce_retention() == 0
    with closing(log.source("opened once", ["news"])) as source:
        assert offsets(source) == [0, 1, 2, 3, 4]


def test_a_topic_nobody_reads_ages_away_and_its_offsets_go_on(log: EmbeddedLog, clock: Clock) -> None:
    publish(log, 3, topic="lifecycle")
    clock.now += timedelta(days=15)
    assert log.enforce_retention() == 3
    assert log.positions("lifecycle") == (3, 3)
    publish(log, 1, topic="lifecycle")
    assert log.positions("lifecycle") == (3, 4)


def test_retention_works_in_small_transactions(log: EmbeddedLog, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_RETENTION_CHUNK", 7)
    publish(log, 50)
    clock.now += timedelta(days=15)
    assert log.enforce_retention() == 50
    assert log.enforce_retention() == 0


def test_retention_removes_only_a_prefix_when_the_clock_went_back(log: EmbeddedLog, clock: Clock) -> None:
    publish(log, 2)
    clock.now += timedelta(days=20)
    publish(log, 2)
    clock.now -= timedelta(days=20)
    publish(log, 2)  # logged as long ago as the first two, behind two young ones
    clock.now += timedelta(days=20)
    assert log.enforce_retention() == 2
    assert log.positions("news") == (2, 6)


def test_a_gap_is_reported_and_reading_goes_on_at_the_earliest(log: EmbeddedLog, tmp_path: Path) -> None:
    publish(log, 10)
    source = log.source("g", ["news"])
    with closing(sqlite3.connect(tmp_path / "deep" / "events.db")) as outsider:
        outsider.execute("DELETE FROM events WHERE event_offset < 6")
        outsider.commit()
    with capture_logs() as lines:
        found = source.poll(timeout_s=0, max_events=10)
    assert [(event.position.offset, event.missing_before) for event in found] == [(6, 6), (7, 0), (8, 0), (9, 0)]
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("event_log.gap", "error")
    assert (line["group"], line["topic"], line["expected"], line["earliest"], line["missing"]) == ("g", "news", 0, 6, 6)
    assert source.lag() == {PARTITION: 4}
    source.close()


def test_rewinding_brings_events_again_and_never_skips(log: EmbeddedLog) -> None:
    publish(log, 10)
    with closing(log.source("g", ["news"])) as source:
        source.commit({PARTITION: 8})
    log.rewind("g", {PARTITION: 5})
    log.rewind("g", {PARTITION: 9})
    with closing(log.source("g", ["news"])) as source:
        assert offsets(source) == [5, 6, 7, 8, 9]


def test_one_poll_reads_a_bounded_number_of_bytes(log: EmbeddedLog) -> None:
    publish(log, 10, size=1000)
    with closing(log.source("g", ["news"], fetch_max_bytes=2500)) as source:
        assert [offsets(source) for _ in range(4)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]


def test_an_event_larger_than_the_bound_still_comes(log: EmbeddedLog) -> None:
    publish(log, 2, size=5000)
    with closing(log.source("g", ["news"], fetch_max_bytes=10)) as source:
        assert [offsets(source), offsets(source)] == [[0], [1]]


def test_a_sink_that_nobody_flushes_writes_by_itself(log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "PUBLISH_BUFFER_BYTES", 10_000)
    sink = log.sink()
    for _ in range(30):
        sink.publish("news", b"." * 1000)
    assert 0 < log.positions("news")[1] < 30
    sink.close()
    assert log.positions("news") == (0, 30)


def test_a_locked_file_is_a_retry_error_and_the_events_stay(log: EmbeddedLog, tmp_path: Path) -> None:
    sink = log.sink()
    sink.publish("news", b"patient")
    with closing(sqlite3.connect(tmp_path / "deep" / "events.db", isolation_level=None)) as outsider:
        outsider.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(RetryError, match=r"locked.*tried again"):
            sink.flush(timeout_s=0.3)
        assert time.monotonic() - began < 5
        outsider.execute("ROLLBACK")
    sink.flush()
    assert log.positions("news") == (0, 1)
    sink.close()


def refusal(sink: EventSink, *, timeout_s: float) -> str:
    """What holds a flush up: another thread, or another process that has the file locked."""
    with pytest.raises(RetryError) as refused:
        sink.flush(timeout_s=timeout_s)
    return "another thread" if "another thread" in str(refused.value) else "locked"


def test_a_flush_waits_for_another_thread_no_longer_than_asked(log: EmbeddedLog, tmp_path: Path) -> None:
    sink = log.sink()
    sink.publish("news", b"x")
    failures: list[Exception] = []

    def hold() -> None:
        try:
            sink.flush(timeout_s=30)
        except RetryError as error:
            failures.append(error)

    with closing(sqlite3.connect(tmp_path / "deep" / "events.db", isolation_level=None)) as outsider:
        outsider.execute("BEGIN IMMEDIATE")
        holder = threading.Thread(target=hold)
        holder.start()
        deadline = time.monotonic() + 20
        while refusal(sink, timeout_s=0.0) != "another thread":
            assert time.monotonic() < deadline, "the other thread never began its flush"
        began = time.monotonic()
        with pytest.raises(RetryError, match="another thread"):
            sink.flush(timeout_s=0.2)
        assert time.monotonic() - began < 2
        outsider.execute("ROLLBACK")
        holder.join()
    assert failures == []
    sink.close()
    assert log.positions("news") == (0, 1)


def test_a_full_disk_is_a_retry_error_and_nothing_is_half_written(log: EmbeddedLog) -> None:
    sink = log.sink()
    pages = sink._connection.execute("PRAGMA page_count").fetchone()[0]
    # SQLite's own ceiling gives the very error that a full disk gives.
    sink._connection.execute(f"PRAGMA max_page_count = {pages + 20}")
    for _ in range(100):
        sink.publish("news", b"." * 4000)
    with pytest.raises(RetryError, match=r"full.*Nothing was written.*free space"):
        sink.flush()
    assert log.positions("news") == (0, 0)
    sink._connection.execute("PRAGMA max_page_count = 1000000")
    sink.flush()
    assert log.positions("news") == (0, 100)
    sink.close()


def test_a_failed_read_skips_no_event(log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(log, 3, topic="news")
    publish(log, 3, topic="sport")
    source = log.source("g", ["news", "sport"])
    read_topic = source._read_topic

    def fail_at_the_second(topic: str, limit: int, bytes_left: int) -> list[object]:
        if topic == "news":
            raise RetryError
        return read_topic(topic, limit, bytes_left)

    monkeypatch.setattr(source, "_read_topic", fail_at_the_second)
    with pytest.raises(RetryError):
        source.poll(timeout_s=0, max_events=10)
    monkeypatch.undo()
    assert sorted(offsets(source)) == [0, 0, 1, 1, 2, 2]
    source.close()


def test_publishing_after_close_says_that_the_event_was_not_taken(log: EmbeddedLog) -> None:
    sink = log.sink()
    sink.close()
    with pytest.raises(RetryError, match="not taken"):
        sink.publish("news", b"late")


def test_a_newer_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    EmbeddedLog(path, retention=timedelta(days=1)).close()
    with closing(sqlite3.connect(path)) as outsider:
        outsider.execute("PRAGMA user_version = 99")
    with pytest.raises(StopError, match=r"format 99.*newer version"):
        EmbeddedLog(path, retention=timedelta(days=1))


def test_a_broken_file_stops_and_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(StopError, match=r"cannot be read as an SQLite file.*backup"):
        EmbeddedLog(path, retention=timedelta(days=1))
    assert path.read_bytes() == b"this is no database" * 100


def test_the_file_is_written_durably_without_wal(log: EmbeddedLog) -> None:
    assert log._connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    assert log._connection.execute("PRAGMA journal_mode").fetchone()[0] == "truncate"


def test_a_waiting_poll_reads_the_file_only_when_it_was_written(log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_CLOCK_TICK_NS", 0)
    with closing(log.source("g", ["news"])) as source:
        reads: list[int] = []
        read = source._read  # type: ignore[attr-defined]
        monkeypatch.setattr(source, "_read", lambda count: reads.append(count) or read(count))
        assert source.poll(timeout_s=0.3, max_events=5) == []
        assert len(reads) == 1
        publish(log, 1)
        assert len(source.poll(timeout_s=5, max_events=5)) == 1


def test_a_log_file_that_is_gone_is_told_and_tried_again(log: EmbeddedLog, tmp_path: Path) -> None:
    file, aside = tmp_path / "deep" / "events.db", tmp_path / "aside.db"
    publish(log, 1)
    with closing(log.source("g", ["news"])) as source:
        file.rename(aside)
        with pytest.raises(RetryError, match="Put the file back"):
            source.poll(timeout_s=0.1, max_events=5)
        aside.rename(file)
        assert len(source.poll(timeout_s=5, max_events=5)) == 1


def test_an_erased_event_keeps_its_place_and_nothing_else(log: EmbeddedLog, tmp_path: Path) -> None:
    with closing(log.sink()) as sink:
        for number in range(6):
            sink.publish(
                "news", b"secret-%d " % number * (2_000 if number % 2 else 5), key=b"secret-key", headers=[("h", b"secret-h")]
            )
    source = log.source("g", ["news"])
    source.commit({PARTITION: 2})
    found = log.find(lambda value: any(b"secret-%d " % number in value for number in (1, 3, 4)))
    assert [position.offset for position in found] == [1, 3, 4]
    assert log.erase([*found, Position("news", 0, 99), Position("nothing", 0, 0)]) == frozenset()
    with closing(log.source("another", ["news"])) as reader:
        events = reader.poll(timeout_s=0, max_events=100)
    assert [event.position.offset for event in events] == list(range(6))
    assert [(event.value is None, event.key is None, event.erased) for event in events] == [
        (number in (1, 3, 4),) * 3 for number in range(6)
    ]  # fmt: skip
    assert source.lag()[PARTITION] == 4
    for step in ("at once", "compacted"):
        content = (tmp_path / "deep" / "events.db").read_bytes()
        assert not [number for number in (1, 3, 4) if b"secret-%d " % number in content], step
        assert (tmp_path / "deep" / "events.db-journal").stat().st_size == 0
        assert b"secret-5 " in content
        log.compact()
    publish(log, 1)
    assert log.positions("news") == (0, 7)


def test_a_search_reads_every_topic_in_portions(log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.log.embedded.erasure.CHUNK_EVENTS", 3)
    monkeypatch.setattr("consumers.log.embedded.erasure.CHUNK_BYTES", 50)
    for topic in ("news", "other"):
        publish(log, 10, topic=topic, size=30)
    assert log.find(lambda value: value[:1] in b"37") == [(topic, 0, offset) for topic in ("news", "other") for offset in (3, 7)]


def test_a_tombstone_of_a_producer_is_not_an_erased_event(log: EmbeddedLog) -> None:
    with closing(log.sink()) as sink:
        sink.publish("news", None, headers=[("h", b"x")])
    with closing(log.source("g", ["news"])) as source:
        (event,) = source.poll(timeout_s=0, max_events=1)
    assert not event.erased
