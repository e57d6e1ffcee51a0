"""CloudEvents in the log, from the official SDK, into the real buffer; and our own events out of it as CloudEvents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cloudevents.core.bindings import kafka
from cloudevents.core.v1.event import CloudEvent

from consumers.buffer.writer import BufferWriter
from consumers.dead_letters.store import DeadLetters
from consumers.erasure.requests import Erasures
from consumers.events.schemas import ARTICLES_TOPIC, FEEDBACK_TOPIC, LIFECYCLE_TOPIC
from consumers.ingest import Ingest
from consumers.log.embedded.log import EmbeddedLog
from daemon.flow.outbox import Publisher
from tests.integration.test_ingest_buffer import SETTINGS
from tests.support.ingest_bench import open_buffer
from tests.support.sample_events import NOW, TASKS
from tests.support.tables import rows_of

DATA = {
    "article_id": "https://site.example/?p=2",
    "title": "Dollar gains",
    "body": "It has hit its highest level",
    "author": "A. R.",
}
SENT, LOGGED = NOW - timedelta(hours=1), NOW - timedelta(minutes=1)
LABEL = {"task": "news-topics", "target": {"label": "economy"}}


class Town:
    """A log, a buffer, and what lies between."""

    def __init__(self, folder: Path, log: EmbeddedLog, buffer: BufferWriter, dead_letters: DeadLetters) -> None:
        self.log, self.buffer, self.dead_letters = log, buffer, dead_letters
        self.source = log.source("ingest", [ARTICLES_TOPIC, FEEDBACK_TOPIC])
        self.ingest = Ingest(
            self.source, buffer, dead_letters, erasures=Erasures(folder), tasks=lambda: TASKS, settings=SETTINGS, data_dir=folder,
            clock=lambda: NOW,
        )  # fmt: skip

    def take(self, *messages: tuple[bytes, Sequence[tuple[str, bytes]]]) -> tuple[int, int, int]:
        """Publish, ingest, and return how many events were inserted, known already, and dead."""
        with closing(self.log.sink()) as sink:
            for value, headers in messages:
                sink.publish(ARTICLES_TOPIC, value, headers=headers)
        outcome = self.ingest.step()
        return outcome.inserted, outcome.duplicates, outcome.dead

    def rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        rows = rows_of(self.buffer.folder, table, columns)
        return sorted(zip(*(rows[name].to_pylist() for name in columns), strict=True))


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with (
        closing(
            EmbeddedLog(tmp_path / "events.db", retention=timedelta(days=14), clock=lambda: NOW - timedelta(minutes=1))
        ) as log,
        closing(DeadLetters(tmp_path / "dead.db")) as dead_letters,
        closing(open_buffer(tmp_path / "buffer")) as buffer,
    ):
        made = Town(tmp_path, log, buffer, dead_letters)
        with closing(made.source):
            yield made


def cloud_event(name: str, data: Any, kind: str = "article") -> CloudEvent:
    named = {
        "id": name,
        "source": "/cms",
        "type": f"org.example.{kind}.v1",
        "specversion": "1.0",
        "time": SENT,
    }
    return CloudEvent(named, data)


def binary(event: CloudEvent) -> tuple[bytes, list[tuple[str, bytes]]]:
    message = kafka.to_binary_event(event)
    return message.value, list(message.headers.items())


def batch(*entries: Any) -> tuple[bytes, list[tuple[str, bytes]]]:
    return json.dumps(entries).encode(), [("content-type", b"application/cloudevents-batch+json")]


def structured(event: CloudEvent) -> Any:
    return json.loads(kafka.to_structured_event(event).value)


def test_all_three_modes_are_stored_once_each(town: Town) -> None:
    article, label = cloud_event("a", DATA), cloud_event("l", LABEL | {"article_id": DATA["article_id"]}, "label")
    assert town.take(binary(article), binary(label)) == (2, 0, 0)
    assert town.take(binary(article), binary(label)) == (0, 2, 0)
    assert town.take(batch(structured(article), structured(label), structured(cloud_event("b", DATA | {"title": "New"})))) == (
        1,
        2,
        0,
    )
    assert town.rows("articles", "event_id", "event_time") == [
        ("/cms|a", SENT), ("/cms|b", SENT),
    ]  # fmt: skip
    assert {json.loads(extra)["fields"]["author"] for (extra,) in town.rows("articles", "extra")} == {"A. R."}
    assert town.buffer.resolve_waiting() == 1


def test_without_a_time_the_log_says_when(town: Town) -> None:
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"x-1"), ("ce_source", b"/cms"), ("ce_type", b"article")]
    assert town.take((json.dumps(DATA).encode(), headers)) == (1, 0, 0)
    assert town.rows("articles", "event_id", "event_time") == [("/cms|x-1", LOGGED)]


def test_a_bad_event_of_a_batch_is_a_dead_letter_of_its_own_and_can_be_replayed(town: Town) -> None:
    good = [structured(cloud_event(str(number), DATA | {"body": f"Text {number}"})) for number in range(2)]
    used = structured(cloud_event("0", DATA | {"body": "Other content under a used id"}))
    unknown = structured(cloud_event("l", LABEL | {"text": "t", "task": "weather"}, "label"))
    assert town.take(batch(good[0], unknown, 7, used, good[1])) == (2, 0, 3)
    letters = {letter.field: letter for letter in town.dead_letters.list()}
    assert set(letters) == {"task", None, "event_id"}
    assert json.loads(letters["task"].value) == unknown
    assert {letter.offset for letter in letters.values()} == {0}
    with closing(town.log.sink()) as sink:
        town.dead_letters.replay([letters["task"].id], sink)
    again = town.ingest.step()
    assert (again.inserted, again.dead) == (0, 1)


def test_a_dead_letter_in_binary_mode_keeps_its_headers_for_the_replay(town: Town) -> None:
    assert town.take(binary(cloud_event("l", LABEL | {"text": "t", "task": "weather"}, "label"))) == (0, 0, 1)
    [letter] = town.dead_letters.list()
    with closing(town.log.sink()) as sink:
        town.dead_letters.replay([letter.id], sink)
    town.ingest.step()
    [again] = town.dead_letters.list()
    assert again.field == "task", "not: its type is missing"


def test_what_happens_to_models_is_told_in_cloud_events(town: Town) -> None:
    event = {"event_id": "e-1", "occurred_at": NOW.isoformat(), "type": "model.promoted", "task": "desk", "version": "desk/v2"}
    outbox = SimpleNamespace(pending=lambda _limit: [SimpleNamespace(id=1, event=event)], mark_sent=lambda _ids: None)
    registry: Any = SimpleNamespace(outbox=outbox)
    Publisher(registry, town.log.sink()).step()
    with closing(town.log.source("bot", [LIFECYCLE_TOPIC])) as source:
        [raw] = source.poll(timeout_s=0.1, max_events=10)
    assert raw.value is not None
    assert json.loads(raw.value) == event, "readers of plain JSON find what they always found"
    read = kafka.from_kafka_event(kafka.KafkaMessage(dict(raw.headers), raw.key, raw.value))
    assert (read.get_id(), read.get_type(), read.get_source()) == ("e-1", "model.promoted", "/perennial/desk")
    assert (read.get_subject(), read.get_time(), read.get_data()) == ("desk/v2", NOW, event)
