"""Copies of the stores while others write them: of one moment each, whole, and in nobody's way."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Self

import pytest

from config.errors import RetryError, StopError
from consumers.buffer import audit as buffer_audit
from consumers.buffer import copying as buffer_copy
from consumers.buffer.open import open_writer
from consumers.log.embedded.copying import copy_log
from consumers.log.embedded.log import EmbeddedLog
from consumers.log.protocols import TopicPartition
from tests.support.buffers import SETTINGS, article, enrich, feedback, label, opened, stored

PRODUCER = Path(__file__).parents[1] / "support" / "producer.py"
NEWS = TopicPartition("news", 0)


def copied(source: Path, target: Path) -> Mapping[str, str]:
    """Copy the buffer as a backup does."""
    tables = buffer_copy.cut(source)
    for path in buffer_copy.files_of(source, tables):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    return tables


def test_a_log_is_copied_while_another_process_publishes(tmp_path: Path) -> None:
    source = tmp_path / "events.db"
    with closing(EmbeddedLog(source, retention=timedelta(days=1))) as log:
        with closing(log.source("g", ["news"])) as group, closing(log.sink()) as sink:
            for number in range(2_000):
                sink.publish("news", f"early-{number}".encode())
            sink.flush()
            group.commit({NEWS: 1_500})
        producer = subprocess.Popen(
            [sys.executable, str(PRODUCER), str(source), "news", "late", "3000", "10"], stdout=subprocess.PIPE, text=True
        )
        with producer:
            assert producer.stdout.readline() == "10\n"
            ends = []
            for number in range(5):
                before = log.positions("news")[1]
                assert copy_log(source, tmp_path / f"copy-{number}.db") == {"news": 0}
                ends.append((before, log.positions("news")[1]))
            producer.stdout.read()
        assert producer.returncode == 0, "publishing never failed over a copy"
    for number, (before, after) in enumerate(ends):
        with closing(EmbeddedLog(tmp_path / f"copy-{number}.db", retention=timedelta(days=1))) as copy:
            first, following = copy.positions("news")
            assert first == 0
            assert before <= following <= after
            assert copy.committed("g", "news") == {NEWS: 1_500}
            with closing(copy.source("new", ["news"])) as everything:
                events = everything.poll(timeout_s=0, max_events=10_000)
            assert [event.position.offset for event in events] == list(range(following)), "no gap, nothing twice"


def test_a_copy_of_a_log_says_what_retention_has_left(tmp_path: Path) -> None:
    source = tmp_path / "events.db"
    with closing(EmbeddedLog(source, retention=timedelta(days=1))) as log, closing(log.sink()) as sink:
        sink.publish("news", b"x")
        sink.publish("news", b"y")
        sink.publish("empty", b"z")
        sink.flush()
    with closing(sqlite3.connect(source)) as outsider:
        outsider.execute("DELETE FROM events WHERE topic = 'empty' OR event_offset = 0")
        outsider.commit()
    assert copy_log(source, tmp_path / "copy.db") == {"news": 1, "empty": 1}


class Writing:
    """A writer that inserts, joins, enriches, takes out and compacts without a pause."""

    def __init__(self, folder: Path) -> None:
        self.over = threading.Event()
        self.rounds = 0
        self.error: Exception | None = None
        self._buffer = open_writer(folder, SETTINGS.model_copy(update={"optimize_every": 4}), tasks={})
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.over.set()
        self._thread.join(60)
        self._buffer.close()

    def _work(self) -> None:
        try:
            while not self.over.is_set():
                self.rounds += 1
                start = self.rounds * 10
                news = [article(f"e-{n}", f"a-{n}", f"body {n}") for n in range(start, start + 5)]
                answers = [feedback(f"f-{n}", article_id=f"a-{n}") for n in range(start, start + 5)]
                rows = [label(f"l-{n}", f"text {n}") for n in range(start, start + 10)]
                self._buffer.insert(stored(*news, *answers, *rows, offset=start * 100))
                self._buffer.sync()
                self._buffer.resolve_waiting()
                enrich(self._buffer)
                enrich(self._buffer, "articles")
                self._buffer.drop_from_training({f"l-{start}": "a test"})
                self._buffer.optimize_if_due()
        except Exception as error:  # noqa: BLE001 - looked at by the test
            self.error = error


@pytest.mark.slow
def test_every_copy_of_a_buffer_that_is_written_is_what_a_kill_would_have_left(tmp_path: Path) -> None:
    source = tmp_path / "buffer"
    with Writing(source) as writer:
        while writer.rounds < 3:
            assert writer.error is None
        for number in range(12):
            tables = copied(source, tmp_path / str(number))
            counts = buffer_copy.count_rows(tmp_path / str(number), tables)
            assert counts["articles"] > 0
    assert writer.error is None
    for number in range(12):
        with opened(tmp_path / str(number)) as buffer:
            assert buffer.repairs == (), "nothing torn, nothing doubled"
            assert buffer.rewind == {}
            look = buffer._tables
            examples = set(look.scan("examples", ["row_id"])["row_id"].to_pylist())
            joined = set(look.scan("feedback", ["event_id"], "status = 'joined'")["event_id"].to_pylist())
            assert joined <= examples, "what is joined has its example"
            for table, enrichment in (("examples", "example_enrichment"), ("articles", "article_enrichment")):
                arrived = set(look.scan(table, ["row_id"])["row_id"].to_pylist())
                assert set(look.scan(enrichment, ["row_id"])["row_id"].to_pylist()) <= arrived
            enrich(buffer)
            assert buffer.insert(stored(label("l-10", "text 10"))).duplicates == 1


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    """A buffer of many small writes, compacted, with a deletion."""
    with opened(tmp_path / "buffer") as buffer:
        for start in range(0, 250, 10):
            buffer.insert(stored(*(label(f"l-{n}", f"text {n}") for n in range(start, start + 10)), offset=start))
            buffer.sync()
        buffer.optimize_if_due()
        buffer._tables.delete("examples", "row_id = 'l-5'")
    return tmp_path / "buffer"


def test_only_what_the_newest_version_needs_is_copied_and_it_can_be_written_on(source: Path, tmp_path: Path) -> None:
    tables = copied(source, tmp_path / "copy")
    assert len(list((source / "examples.lance" / "data").iterdir())) > 25
    assert len(list((tmp_path / "copy" / "examples.lance" / "data").iterdir())) < 5
    assert buffer_copy.count_rows(tmp_path / "copy", tables)["examples"] == 249
    with opened(tmp_path / "copy") as buffer:
        assert buffer.insert(stored(label("l-1", "text 1"), label("new"), offset=300)).inserted == 1
        assert len(enrich(buffer)) == 250


@pytest.mark.parametrize("part", ["data/*.lance", "_deletions/*"])
def test_a_copy_that_lacks_a_file_is_noticed(source: Path, tmp_path: Path, part: str) -> None:
    tables = copied(source, tmp_path / "copy")
    next(iter((tmp_path / "copy" / "examples.lance").glob(part))).unlink()
    with pytest.raises(StopError, match="copy of table examples"):
        buffer_copy.count_rows(tmp_path / "copy", tables)


def test_a_version_that_was_cleaned_away_meanwhile_is_noticed(source: Path) -> None:
    tables = buffer_copy.cut(source)
    (source / "examples.lance" / "_versions" / tables["examples.lance"]).unlink()
    with pytest.raises(FileNotFoundError):
        list(buffer_copy.files_of(source, tables))


def test_a_buffer_that_is_never_still_is_tried_again_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter(range(10_000))
    monkeypatch.setattr(buffer_copy, "_newest_manifests", lambda _folder: {"examples.lance": str(next(looks))})
    monkeypatch.setattr(buffer_copy, "_BETWEEN_LOOKS_S", 0)
    with pytest.raises(RetryError, match="written so often"):
        buffer_copy.cut(tmp_path)


def test_offsets_given_from_outside_are_read_again_until_the_log_was_rewound(source: Path) -> None:
    feedback_0, articles_0 = TopicPartition("perennial.feedback", 0), TopicPartition("perennial.articles", 0)
    buffer_audit.read_again_from(source, {feedback_0: 120, articles_0: 7})
    buffer_audit.read_again_from(source, {feedback_0: 150})
    for _ in range(2):
        with opened(source) as buffer:
            assert buffer.rewind == {feedback_0: 120, articles_0: 7}
    with opened(source) as buffer:
        buffer.rewound("perennial.feedback")
        buffer.rewound("perennial.articles")
    with opened(source) as buffer:
        assert buffer.rewind == {}


def test_a_note_of_an_earlier_version_is_still_read(source: Path) -> None:
    (source / buffer_audit.RESTORED_FILE).write_text('["examples"]')
    with opened(source) as buffer:
        assert buffer.rewind == {TopicPartition("perennial.feedback", 0): 250}


def test_a_torn_table_of_a_restored_buffer_is_read_again_from_the_earlier_of_both(source: Path) -> None:
    feedback_0 = TopicPartition("perennial.feedback", 0)
    buffer_audit.read_again_from(source, {feedback_0: 245})
    newest = max((source / "examples.lance" / "_versions").glob("*.manifest"), key=lambda path: path.stat().st_mtime_ns)
    os.truncate(newest, 10)
    with opened(source) as buffer:
        assert buffer.repairs
        assert buffer.rewind == {feedback_0: 245}
