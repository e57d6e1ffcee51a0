"""Ingest: the order of its steps, what it does when one fails, and that bad events never take their neighbours along.

The buffer here is a double that records calls and fails on request; `tests/integration/test_ingest_buffer.py`,
`tests/property/test_ingest_idempotence.py` and `tests/chaos/test_ingest_*.py` use the real one.
"""

from __future__ import annotations

import errno
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.errors import RetryError
from config.sections import IngestSettings
from config.settings import load_settings
from consumers import ingest as module
from consumers.dead_letters.store import DeadLetters, Rejected
from consumers.erasure.requests import Erasures
from consumers.ingest import Ingest, IngestOutcome
from consumers.log.embedded.log import EmbeddedLog
from consumers.log.protocols import EventSource, Position, RawEvent, TopicPartition
from consumers.rows.arriving.event_rows import Stored
from consumers.rows.arriving.insertion import Conflict, InsertOutcome
from tests.support.sample_events import ARTICLE, BAD_INPUT, ERASE, LABEL, NOW, RETRAIN, TASK_SCHEMA, TASKS, wire

A_BUG = "a bug"
PARTITION = TopicPartition("news", 0)
SETTINGS = load_settings().ingest.model_copy(update={"batch_events": 100, "poll_timeout_s": 0.01, "min_free_disk_mib": 0})


class Faults:
    """Notes each call in order and raises what was queued for it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.queued: dict[str, deque[Exception]] = {}

    def fail(self, name: str, *errors: Exception) -> None:
        self.queued[name] = deque(errors)

    def called(self, name: str) -> None:
        self.calls.append(name)
        if self.queued.get(name):
            raise self.queued[name].popleft()


class RecordingBuffer:
    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.rows: dict[str, Stored] = {}

    def insert(self, batch: Sequence[Stored]) -> InsertOutcome:
        self.faults.called("insert")
        inserted, conflicts = 0, []
        for one in batch:
            kept = self.rows.setdefault(one.event.event_id, one)
            inserted += kept is one
            if kept.event != one.event:
                conflicts.append(Conflict(one, f"event_id: {one.event.event_id} is taken by another event; send a new id"))
        return InsertOutcome(inserted, len(batch) - inserted - len(conflicts), tuple(conflicts))

    def sync(self) -> None:
        self.faults.called("sync")

    def check(self) -> None:
        self.faults.called("check")


class RecordingSource:
    def __init__(self, source: EventSource, faults: Faults) -> None:
        self.source = source
        self.faults = faults

    def poll(self, *, timeout_s: float, max_events: int) -> Sequence[RawEvent]:
        self.faults.called("poll")
        return self.source.poll(timeout_s=timeout_s, max_events=max_events)

    def hold(self) -> None:
        self.faults.called("hold")
        self.source.hold()

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        self.faults.called("commit")
        self.source.commit(next_offsets)


class RecordingDeadLetters(DeadLetters):
    faults: Faults

    def add_all(self, rejected: Sequence[Rejected]) -> None:
        self.faults.called("dead letters")
        super().add_all(rejected)


class Bench:
    """Ingest between a real log, real dead letters and the double of the buffer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults = Faults()
        self.log = EmbeddedLog(folder / "events.db", retention=timedelta(days=1))
        self.source = self.log.source("ingest", ["news"])
        self.buffer = RecordingBuffer(self.faults)
        self.dead_letters = RecordingDeadLetters(folder / "dead.db")
        self.dead_letters.faults = self.faults
        self.erasures = Erasures(folder, clock=lambda: NOW)
        self.tasks = dict(TASKS)
        self.ingest = self.build(SETTINGS)

    def build(self, settings: IngestSettings) -> Ingest:
        source: Any = RecordingSource(self.source, self.faults)
        buffer: Any = self.buffer
        where: dict[str, Any] = {"data_dir": self.folder, "clock": lambda: NOW, "erasures": self.erasures}
        return Ingest(source, buffer, self.dead_letters, tasks=lambda: self.tasks, settings=settings, **where)

    def publish(self, *payloads: Any) -> None:
        with closing(self.log.sink()) as sink:
            for payload in payloads:
                sink.publish("news", None if payload is None else wire(payload))

    @property
    def lag(self) -> int:
        return self.source.lag()[PARTITION]

    @property
    def reasons(self) -> list[str]:
        return [letter.reason for letter in reversed(self.dead_letters.list())]

    def close(self) -> None:
        self.source.close()
        self.dead_letters.close()
        self.log.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    opened = Bench(tmp_path)
    yield opened
    opened.close()


def labels(count: int, first: int = 0, **changes: Any) -> list[dict[str, Any]]:
    return [LABEL | {"event_id": f"l-{first + number}"} | changes for number in range(count)]


def test_positions_are_committed_after_rows_and_dead_letters_are_durable(bench: Bench) -> None:
    bench.publish(*labels(3), b"{", RETRAIN)
    outcome = bench.ingest.step()
    assert bench.faults.calls == ["poll", "insert", "sync", "dead letters", "commit"]
    assert (outcome.polled, outcome.inserted, outcome.duplicates, outcome.dead, outcome.paused) == (5, 4, 0, 1, None)
    assert [event.event_id for event in outcome.retrains] == [RETRAIN["event_id"]]
    assert bench.lag == 0
    assert [stored.position.offset for stored in bench.buffer.rows.values()] == [0, 1, 2, 4]


def test_nothing_to_do_touches_nothing(bench: Bench) -> None:
    assert bench.ingest.step() == IngestOutcome()
    assert bench.faults.calls == ["poll"]


@pytest.mark.parametrize("name", BAD_INPUT)
def test_each_kind_of_bad_input_becomes_a_dead_letter_and_its_neighbours_are_stored(bench: Bench, name: str) -> None:
    payload, field, fault, remedy = BAD_INPUT[name]
    before, after = labels(2)
    bench.publish(before, payload, after)
    outcome = bench.ingest.step()
    assert (outcome.inserted, outcome.dead, bench.lag) == (2, 1, 0)
    (letter,) = bench.dead_letters.list()
    assert (letter.value, letter.offset, letter.field, letter.replayable) == (wire(payload), 1, field, True)
    assert fault in letter.reason
    assert remedy in letter.reason


def test_a_50_mb_article_is_kept_as_hash_and_prefix_and_its_neighbours_are_stored(bench: Bench) -> None:
    before, after = labels(2)
    huge = wire(ARTICLE | {"body": "x" * 50_000_000})
    bench.publish(before, huge, after)
    outcomes = [bench.ingest.step(), bench.ingest.step()]
    assert sum(outcome.inserted for outcome in outcomes) == 2
    (letter,) = bench.dead_letters.list()
    assert (letter.value_bytes, letter.value, letter.replayable) == (len(huge), huge[:4096], False)
    assert "more than the limit of 2097152 (ingest.max_event_bytes)" in letter.reason
    assert "Shorten the text and send it again" in letter.reason


def test_a_tombstone_is_counted_and_kept(bench: Bench) -> None:
    bench.publish(None, *labels(1))
    outcome = bench.ingest.step()
    assert (outcome.inserted, outcome.dead) == (1, 1)
    (letter,) = bench.dead_letters.list()
    assert "tombstone" in letter.reason
    assert (letter.value, letter.replayable) == (b"", False)


def test_an_erase_event_is_listed_once_and_its_place_in_the_log_is_noted(bench: Bench) -> None:
    bench.publish(ERASE, *labels(1), ERASE)
    outcome = bench.ingest.step()
    assert (outcome.inserted, outcome.duplicates, outcome.dead) == (2, 1, 0)
    (listed,) = bench.erasures.all()
    assert (listed.what, listed.state) == ("user", "requested")
    assert bench.erasures.positions() == [("news", 0, 0), ("news", 0, 2)]
    assert list(bench.buffer.rows) == ["l-0"]


def test_an_erase_event_that_names_nothing_is_a_dead_letter(bench: Bench) -> None:
    bench.publish({name: value for name, value in ERASE.items() if name != "user_id"})
    assert bench.ingest.step().dead == 1
    assert bench.reasons == ["neither user_id nor article_id is given; name what is to be erased"]
    assert bench.erasures.all() == []


def test_a_request_is_durable_before_its_position_is_committed(bench: Bench) -> None:
    bench.publish(ERASE)
    bench.faults.fail("commit", RetryError("the log is away"))
    with pytest.raises(RetryError):
        bench.ingest.step()
    assert len(bench.erasures.all()) == 1
    assert bench.ingest.step().duplicates == 1
    assert len(bench.erasures.all()) == 1


def test_nothing_unusable_of_an_erased_user_becomes_a_dead_letter(bench: Bench) -> None:
    bench.publish(ERASE)
    bench.ingest.step()
    user = ERASE["user_id"]
    broken = f'{{"type": "feedback", "text": "secret", "user_id": "{user}", "target"'.encode()
    unknown = {"type": "feedback", "user_id": user, "event_id": "late", "text": "secret"}
    large = {"type": "feedback", "text": "secret " * SETTINGS.max_event_bytes, "user_id": user}
    cloud = {"specversion": "1.0", "id": "ce", "source": "app", "type": "org.example.feedback", "data": {"user_id": user}}
    others = {"type": "feedback", "user_id": f"{user}-2", "event_id": "of-another"}
    bench.publish(broken, unknown, large, cloud, others)
    outcome = bench.ingest.step()
    assert (outcome.dead, outcome.erased, outcome.inserted) == (1, 4, 0)
    (letter,) = bench.dead_letters.list()
    assert b"of-another" in letter.value
    assert [position.offset for position in bench.erasures.positions()] == [0, 1, 2, 3, 4]
    assert bench.erasures.work("event") == {"late", "app|ce"}, "a CloudEvent's id is its source and id"
    assert bench.lag == 0


def test_what_was_erased_in_the_log_is_counted_and_nothing_else(bench: Bench) -> None:
    bench.publish(*labels(2))
    bench.log.erase([Position("news", 0, 0)])
    outcome = bench.ingest.step()
    assert (outcome.polled, outcome.inserted, outcome.dead, outcome.erased) == (2, 1, 0, 1)
    assert bench.dead_letters.count() == 0


def test_a_task_schema_event_is_stored_as_a_request(bench: Bench) -> None:
    bench.publish(TASK_SCHEMA)
    assert bench.ingest.step().inserted == 1
    assert list(bench.buffer.rows) == [TASK_SCHEMA["event_id"]]


def test_the_same_id_with_other_content_becomes_a_dead_letter(bench: Bench) -> None:
    bench.publish(*labels(1), *labels(1, text="other"), *labels(1), *labels(1, first=1))
    outcome = bench.ingest.step()
    assert (outcome.inserted, outcome.duplicates, outcome.dead) == (2, 1, 1)
    (letter,) = bench.dead_letters.list()
    assert (letter.offset, letter.field) == (1, "event_id")
    assert "is taken by another event" in letter.reason
    assert json.loads(letter.value)["text"] == "other"


def test_a_dead_letter_is_logged_with_position_and_reason(bench: Bench) -> None:
    bench.publish(b"{")
    with capture_logs() as lines:
        bench.ingest.step()
    (line,) = lines
    assert (line["event"], line["log_level"], line["position"]) == ("ingest.dead_letter", "warning", ("news", 0, 0))
    assert "not JSON" in line["reason"]


FAILURES: dict[str, Callable[[], Exception]] = {
    "insert": lambda: RuntimeError("lance error: LanceError(IO): No space left on device (os error 28), writer.rs:258:9"),
    "sync": lambda: OSError(errno.EIO, "Input/output error"),
    "dead letters": lambda: RetryError("dead_letters.db is locked"),
    "commit": lambda: RetryError("events.db is locked"),
}


@pytest.mark.parametrize("where", FAILURES)
def test_after_a_failure_nothing_is_committed_and_the_same_events_are_taken_again(bench: Bench, where: str) -> None:
    bench.publish(*labels(3), b"{")
    bench.faults.fail(where, FAILURES[where](), FAILURES[where]())
    for _ in range(2):
        with pytest.raises(RetryError):
            bench.ingest.step()
        assert bench.lag == 4
    bench.publish(*labels(2, first=10))
    outcome = bench.ingest.step()
    assert (outcome.polled, outcome.dead, outcome.inserted + outcome.duplicates) == (4, 1, 3)
    assert bench.lag == 2
    assert bench.faults.calls.count("poll") == 1, "the failed events are not asked for again while they are at hand"
    assert bench.ingest.step().inserted == 2
    assert (bench.lag, len(bench.buffer.rows), len(bench.reasons)) == (0, 5, 1)


def test_a_full_disk_is_said_in_words(bench: Bench) -> None:
    bench.publish(*labels(2))
    bench.faults.fail("insert", OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(RetryError) as caught:
        bench.ingest.step()
    message = str(caught.value)
    assert "the disk is full" in message
    assert "2 events from ('news', 0, 0) to ('news', 0, 1) were not committed and are tried again" in message
    assert "Free space" in message


@pytest.mark.parametrize("bad", [[3], [0, 6], list(range(7))])
def test_events_that_the_program_fails_on_become_dead_letters_and_their_neighbours_are_stored(
    bench: Bench, bad: list[int]
) -> None:
    bench.publish(*labels(7))
    insert = bench.buffer.insert

    def failing(batch: Sequence[Stored]) -> InsertOutcome:
        if any(one.event.event_id in {f"l-{number}" for number in bad} for one in batch):
            raise KeyError(A_BUG)
        return insert(batch)

    bench.buffer.insert = failing  # type: ignore[method-assign]  # a fault is put in
    with capture_logs() as lines:
        outcome = bench.ingest.step()
    assert (outcome.inserted, outcome.dead, bench.lag) == (7 - len(bad), len(bad), 0)
    assert [letter.offset for letter in reversed(bench.dead_letters.list())] == bad
    assert all(letter.replayable and "KeyError: 'a bug'" in letter.reason for letter in bench.dead_letters.list())
    assert sum(line["event"] == "ingest.failed_on_an_event" for line in lines) == len(bad)
    bench.buffer.insert = insert  # type: ignore[method-assign]  # fixed
    with closing(bench.log.sink()) as sink:
        bench.dead_letters.replay([letter.id for letter in bench.dead_letters.list()], sink)
    assert bench.ingest.step().inserted == len(bad)


def test_an_event_that_parsing_fails_on_becomes_a_dead_letter(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    parse = module.parse

    def failing(value: bytes, **more: Any) -> Any:
        if b"l-1" in value:
            raise RecursionError
        return parse(value, **more)

    monkeypatch.setattr(module, "parse", failing)
    bench.publish(*labels(3))
    outcome = bench.ingest.step()
    assert (outcome.inserted, outcome.dead, bench.lag) == (2, 1, 0)


def test_no_event_is_blamed_where_the_buffer_itself_cannot_be_read(bench: Bench) -> None:
    bench.publish(*labels(2))
    bench.faults.fail("insert", *[ValueError("a bug")] * 3)
    bench.faults.fail("check", OSError(errno.EIO, "Input/output error"))
    with pytest.raises(RetryError):
        bench.ingest.step()
    assert (bench.lag, bench.reasons) == (2, [])


def test_after_a_crash_the_log_brings_the_events_again(bench: Bench) -> None:
    bench.publish(*labels(3))
    bench.faults.fail("commit", RetryError())
    with pytest.raises(RetryError):
        bench.ingest.step()
    bench.source.close()
    bench.source = bench.log.source("ingest", ["news"])
    outcome = bench.build(SETTINGS).step()
    assert (outcome.inserted, outcome.duplicates) == (0, 3)
    assert bench.lag == 0


def test_a_nearly_full_disk_pauses_without_polling_and_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.publish(*labels(2))
    monkeypatch.setattr(module, "free_bytes", lambda _path: 100 << 20)
    ingest = bench.build(SETTINGS.model_copy(update={"min_free_disk_mib": 512}))
    with capture_logs() as lines:
        outcome = ingest.step()
    assert bench.faults.calls == ["hold"], "it stays a member of its group"
    assert outcome.polled == 0
    assert outcome.paused is not None
    assert "100 MiB are free" in outcome.paused
    assert "512 MiB" in outcome.paused
    assert "Free space or move data_dir" in outcome.paused
    assert [(line["event"], line["reason"]) for line in lines] == [("ingest.paused", outcome.paused)]
    monkeypatch.setattr(module, "free_bytes", lambda _path: 600 << 20)
    assert ingest.step().inserted == 2


def test_a_batch_is_made_durable_in_portions_of_bounded_size(bench: Bench) -> None:
    bench.publish(*labels(4, text="x" * 1000))
    outcome = bench.build(SETTINGS.model_copy(update={"max_unflushed_bytes": 2500})).step()
    assert outcome.inserted == 4
    assert bench.faults.calls == ["poll", *["insert", "sync", "dead letters", "commit"] * 2]


def test_a_portion_that_is_done_is_not_taken_again_when_the_next_fails(bench: Bench) -> None:
    bench.publish(*labels(4, text="x" * 1000))
    ingest = bench.build(SETTINGS.model_copy(update={"max_unflushed_bytes": 2500}))
    fail_later = bench.buffer.insert

    def insert(batch: Sequence[Stored]) -> InsertOutcome:
        if any(one.event.event_id == "l-2" for one in batch):
            bench.buffer.insert = fail_later  # type: ignore[method-assign]  # the fault strikes once
            raise OSError(errno.ENOSPC, "full")
        return fail_later(batch)

    bench.buffer.insert = insert  # type: ignore[method-assign]  # a fault is put in
    with pytest.raises(RetryError):
        ingest.step()
    assert bench.lag == 2
    assert (ingest.step().inserted, bench.lag) == (2, 0)


def test_task_files_are_looked_up_at_each_step(bench: Bench) -> None:
    del bench.tasks["news-topics"]
    bench.publish(*labels(1))
    assert bench.ingest.step().dead == 1
    bench.tasks.update(TASKS)
    with closing(bench.log.sink()) as sink:
        bench.dead_letters.replay([1], sink)
    assert bench.ingest.step().inserted == 1
    assert bench.dead_letters.count() == 0
