"""Whatever is delivered again, doubled or cut off by a crash: the same rows, and no acknowledged event lost."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import load_settings
from consumers.buffer.writer import BufferWriter
from consumers.dead_letters.store import DeadLetters, Rejected
from consumers.erasure.requests import Erasures
from consumers.events.schemas import FEEDBACK_TOPIC
from consumers.ingest import Ingest
from consumers.log.embedded.log import EmbeddedLog
from consumers.log.protocols import EventSource, RawEvent, TopicPartition
from consumers.rows.arriving.event_rows import Stored
from consumers.rows.arriving.insertion import InsertOutcome
from tests.support.ingest_bench import open_buffer, publish, rows
from tests.support.sample_events import ARTICLE, LABEL, NOW, RETRAIN, TASKS

# One topic, so that "first come" is defined: the same id with other content goes to whichever was first in the log.
LABELS = tuple(LABEL | {"event_id": f"l-{number}", "text": f"text {number}"} for number in range(4))
ARTICLES = tuple(ARTICLE | {"event_id": f"a-{number}", "article_id": f"article-{number}"} for number in range(2))
POOL: tuple[Any, ...] = (
    *LABELS,
    *ARTICLES,
    RETRAIN,
    LABELS[0] | {"text": "another text under a used id"},
    ARTICLES[0] | {"event_id": "a-9", "title": "A revision"},
    LABEL | {"event_id": "bad", "task": "unknown"},
    b"not json",
    None,
)


class Crash(BaseException):
    """The process is gone; nothing may catch this."""


@dataclass(frozen=True)
class Life:
    """One process: how many events it takes at a time, and the step (counted over all steps) at which it dies (0: never)."""

    batch_events: int
    dies_at: int
    buffer_reopened: bool


class Mortal:
    """Source, buffer and dead letters of one life; counts every step and dies at the appointed one."""

    def __init__(self, source: EventSource, buffer: BufferWriter, dead_letters: DeadLetters, dies_at: int) -> None:
        self.source = source
        self.buffer = buffer
        self.dead_letters = dead_letters
        self.steps_left = dies_at

    def step(self) -> None:
        self.steps_left -= 1
        if self.steps_left == 0:
            raise Crash

    def poll(self, *, timeout_s: float, max_events: int) -> Sequence[RawEvent]:
        self.step()
        return self.source.poll(timeout_s=timeout_s, max_events=max_events)

    def insert(self, batch: Sequence[Stored]) -> InsertOutcome:
        self.step()
        outcome = self.buffer.insert(batch)
        self.step()
        return outcome

    def check(self) -> None:
        self.buffer.check()

    def sync(self) -> None:
        self.buffer.sync()
        self.step()

    def add_all(self, rejected: Sequence[Rejected]) -> None:
        self.dead_letters.add_all(rejected)
        self.step()

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        self.source.commit(next_offsets)
        self.step()


class World:
    """The durable things, which outlive every process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = EmbeddedLog(folder / "events.db", retention=timedelta(days=1))
        self.dead_letters = DeadLetters(folder / "dead.db", clock=lambda: NOW)
        self.erasures = Erasures(folder)
        self.buffer = open_buffer(folder / "buffer")

    def live(self, life: Life) -> None:
        """Ingest until nothing waits or the appointed death."""
        if life.buffer_reopened:
            self.buffer.close()
            self.buffer = open_buffer(self.folder / "buffer")
        with closing(self.log.source("ingest", [FEEDBACK_TOPIC])) as source:
            mortal: Any = Mortal(source, self.buffer, self.dead_letters, life.dies_at)
            limits = load_settings().ingest.model_copy(
                update={"batch_events": life.batch_events, "poll_timeout_s": 0.001, "min_free_disk_mib": 0}
            )
            ingest = Ingest(
                mortal, mortal, mortal, erasures=self.erasures, tasks=lambda: TASKS, settings=limits, data_dir=self.folder,
                clock=lambda: NOW,
            )  # fmt: skip
            try:
                while any(source.lag().values()):
                    ingest.step()
            except Crash:
                return

    def publish(self, stream: Sequence[Any]) -> int:
        """Publish a stream and return the offset of its first event."""
        self.live(Life(batch_events=100, dies_at=0, buffer_reopened=False))
        first = self.log.positions(FEEDBACK_TOPIC)[1]
        publish(self.log, ((FEEDBACK_TOPIC, payload) for payload in stream))
        return first

    def close(self) -> None:
        self.buffer.close()
        self.dead_letters.close()
        self.log.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    # Opening a buffer takes longer than all else here: one serves every example, each with ids of its own.
    opened = World(tmp_path_factory.mktemp("world"))
    yield opened
    opened.close()


def with_own_ids(payload: Any, example: int) -> Any:
    """Return a payload whose ids no other example uses."""
    if not isinstance(payload, dict):
        return payload
    return payload | {name: f"{payload[name]}/{example}" for name in ("event_id", "article_id") if name in payload}


def expected_rows(stream: Sequence[Any], first_offset: int) -> tuple[dict[str, list[Any]], list[int]]:
    """First under an id is a row, the same again is none, everything else is a dead letter at its offset."""
    kept: dict[str, Any] = {}
    dead = []
    for offset, payload in enumerate(stream, first_offset):
        usable = isinstance(payload, dict) and payload.get("task") != "unknown"
        if not usable or kept.setdefault(payload["event_id"], payload) != payload:
            dead.append(offset)
    found: dict[str, list[Any]] = {"label": [], "article": [], "retrain": []}
    for event_id, event in sorted(kept.items()):
        found[event["type"]].append(
            (event["article_id"], f"{event['title']}\n\n{event['body']}") if event["type"] == "article"
            else (event_id, event["text"]) if event["type"] == "label"
            else event_id
        )  # fmt: skip
    return found, dead


EXAMPLES = itertools.count()
LIVES = st.builds(
    Life, batch_events=st.integers(1, 5), dies_at=st.integers(1, 14), buffer_reopened=st.sampled_from([False] * 4 + [True])
)


@settings(max_examples=25, deadline=None)
@given(stream=st.lists(st.sampled_from(POOL), min_size=1, max_size=12), lives=st.lists(LIVES, max_size=3))
def test_any_crash_and_redelivery_gives_the_same_rows(world: World, stream: list[Any], lives: list[Life]) -> None:
    example = next(EXAMPLES)
    stream = [with_own_ids(payload, example) for payload in stream]
    first = world.publish(stream)
    for life in lives:
        world.live(life)
    world.live(Life(batch_events=100, dies_at=0, buffer_reopened=False))
    expected, dead = expected_rows(stream, first)
    stored = rows(world.buffer)
    own = f"/{example}"
    assert [row for row in stored["examples"] if row[0].endswith(own)] == expected["label"]
    assert [row for row in stored["articles"] if row[0].endswith(own)] == sorted(expected["article"])
    assert [event_id for event_id in stored["retrains"] if event_id.endswith(own)] == expected["retrain"]
    assert sorted(letter.offset for letter in world.dead_letters.list(limit=100_000) if letter.offset >= first) == dead
