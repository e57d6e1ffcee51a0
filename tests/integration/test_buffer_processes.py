"""Several processes and one buffer: one writes, others read; and folders of other versions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from config.errors import StopError, UserError
from consumers.buffer.folder import FORMAT_FILE
from consumers.buffer.open import open_reader, open_writer
from consumers.buffer.reader import BufferReader
from consumers.buffer.writer import BufferWriter
from tests.support import buffer_writer
from tests.support.buffers import SETTINGS, TASKS, TOPICS, article, enrich, feedback, label, opened, stored


class Writer:
    """The writing process, line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def write(self, start: int, count: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{start} {count}\n")
        self.process.stdin.flush()
        assert self.answer() == "done"

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextmanager
def writing(folder: Path) -> Iterator[Writer]:
    command = [sys.executable, os.fspath(Path(buffer_writer.__file__)), os.fspath(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            writer = Writer(process)
            assert writer.answer() == "open"
            yield writer
        finally:
            process.kill()


def reading(folder: Path) -> BufferReader:
    return open_reader(folder, tasks=TASKS)


def writing_here(folder: Path) -> BufferWriter:
    return open_writer(folder, SETTINGS, tasks=TASKS)


def test_a_second_writer_is_refused_and_told_who_writes(tmp_path: Path) -> None:
    with writing(tmp_path / "b") as writer:
        told = rf"written by process {writer.process.pid}; two writers would double its rows\. Stop that process first"
        with pytest.raises(StopError, match=told), opened(tmp_path / "b"):
            pass
        writer.process.send_signal(signal.SIGKILL)
        writer.process.wait(30)
        with opened(tmp_path / "b") as buffer:
            assert buffer.repairs == (), "the lock went with its process"


def test_a_second_writer_in_the_same_process_is_refused_too(tmp_path: Path) -> None:
    with opened(tmp_path / "b"):
        with pytest.raises(StopError, match=f"process {os.getpid()}"), opened(tmp_path / "b"):
            pass
        with closing(reading(tmp_path / "b")) as reader:
            assert reader.table_counts()["examples"] == 0


def test_a_reader_sees_what_another_process_writes(tmp_path: Path) -> None:
    with writing(tmp_path / "b") as writer, closing(reading(tmp_path / "b")) as reader:
        for written in range(10, 60, 10):
            writer.write(written - 10, 10)
            assert reader.table_counts()["examples"] == written
            assert reader.counts("news-topics").train == written
        fate = reader.feedback_fate("l-3")
        assert fate is not None
        assert fate.status == "joined"
        assert reader.unenriched("examples", 9) == []
        assert reader.freeze(TOPICS, run_id="r", folder=tmp_path / "set", learnt=frozenset()).manifest.counts["train"] == 50


def test_a_reader_survives_compaction_by_the_writer(tmp_path: Path) -> None:
    with writing(tmp_path / "b") as writer, closing(reading(tmp_path / "b")) as reader:
        for start in range(25):
            writer.write(start, 1)
            assert reader.counts("news-topics").train == start + 1


def test_a_reader_writes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "b"):
        pass
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "b").rglob("*")}
    with closing(reading(tmp_path / "b")) as reader:
        assert not isinstance(reader, BufferWriter), "what writes is not there to be called"
        reader.table_counts()
        reader.counts("news-topics")
        reader.freeze(TOPICS, run_id="r", folder=tmp_path / "set", learnt=frozenset())
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "b").rglob("*")} == before


def test_a_closed_buffer_writes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        pass
    with pytest.raises(StopError, match="is closed"):
        buffer.insert(stored(label("l-1")))


def test_there_is_nothing_to_read_before_the_first_start(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no buffer in .* yet; start the daemon"):
        reading(tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("version", ["2", "17", "later"])
@pytest.mark.parametrize("opening", [writing_here, reading])
def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path, version: str, opening: Callable[[Path], BufferReader]) -> None:
    with opened(tmp_path / "b"):
        pass
    (tmp_path / "b" / FORMAT_FILE).write_text(f"{version}\n")
    with pytest.raises(StopError, match=rf"has format '{version}'.*reads up to 1.*Install the version that wrote it"):
        opening(tmp_path / "b")
    (tmp_path / "b" / FORMAT_FILE).write_text("1\n")
    with opened(tmp_path / "b"):
        pass


def test_threads_share_one_buffer(tmp_path: Path) -> None:
    rounds = 15

    def ingest(buffer: BufferWriter) -> None:
        for number in range(rounds):
            fresh = [label(f"l-{number}", f"text {number}"), feedback(f"f-{number}", article_id=f"a-{number}")]
            buffer.insert(stored(*fresh, article(f"e-{number}", f"a-{number}", f"body {number}"), offset=number * 3))
            buffer.optimize_if_due()

    def work_behind(buffer: BufferWriter) -> None:
        for _ in range(rounds):
            buffer.resolve_waiting()
            enrich(buffer)
            enrich(buffer, "articles")

    def look(buffer: BufferWriter) -> None:
        for number in range(rounds):
            buffer.counts("news-topics")
            buffer.freeze(TOPICS, run_id="r", folder=tmp_path / f"set-{number}", learnt=frozenset())

    with opened(tmp_path / "b") as buffer, ThreadPoolExecutor() as threads:
        for running in [threads.submit(work, buffer) for work in (ingest, work_behind, look)]:
            running.result(60)
        work_behind(buffer)
        assert buffer.counts("news-topics").train == 2 * rounds
        assert buffer.table_counts() == {"articles": 15, "examples": 30, "feedback": 15, "predictions": 0, "requests": 0}
