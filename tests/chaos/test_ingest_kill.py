"""kill -9 of a real ingest process: after a restart every acknowledged event is stored, once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.dead_letters.store import DeadLetters
from consumers.events.schemas import ARTICLES_TOPIC, FEEDBACK_TOPIC
from consumers.log.embedded.log import EmbeddedLog
from tests.support.ingest_bench import look_into, open_buffer, publish, rows
from tests.support.sample_events import ARTICLE, LABEL, RETRAIN

CHILD = Path(__file__).parents[1] / "support" / "ingest_child.py"


def start(data_dir: Path, *, batch: int, kill_at: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, str(CHILD), str(data_dir), str(batch), str(kill_at)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def articles(count: int) -> Iterator[tuple[str, Any]]:
    for number in range(count):
        event = ARTICLE | {"event_id": f"a-{number}", "article_id": f"article-{number}", "title": f"Title {number}"}
        yield ARTICLES_TOPIC, event


def labels(count: int) -> Iterator[tuple[str, Any]]:
    for number in range(count):
        yield FEEDBACK_TOPIC, LABEL | {"event_id": f"l-{number}", "text": f"text {number}"}


def fill(data_dir: Path, count: int) -> None:
    with closing(EmbeddedLog(data_dir / "events.db", retention=timedelta(days=14))) as log:
        publish(log, [*articles(count), *labels(count), (FEEDBACK_TOPIC, RETRAIN), (FEEDBACK_TOPIC, b"not json")])
        # The producer did not hear of its success and sends some again.
        publish(log, [*articles(count // 3), *labels(count // 3)])


def check_that_everything_is_there_once(data_dir: Path, count: int) -> None:
    with closing(open_buffer(data_dir / "buffer")) as buffer:
        stored = rows(buffer)
        assert buffer.repairs == ()
    assert stored["articles"] == sorted((f"article-{n}", f"Title {n}\n\nThe ECB acted.") for n in range(count))
    assert stored["examples"] == sorted((f"l-{n}", f"text {n}") for n in range(count))
    assert stored["retrains"] == [RETRAIN["event_id"]]
    with closing(DeadLetters(data_dir / "dead_letters.db")) as dead_letters:
        assert [letter.value for letter in dead_letters.list()] == [b"not json"]


def lag(data_dir: Path) -> int:
    with closing(EmbeddedLog(data_dir / "events.db", retention=timedelta(days=14))) as log:
        source = log.source("ingest", [ARTICLES_TOPIC, FEEDBACK_TOPIC])
        with closing(source):
            return sum(source.lag().values())


def test_a_kill_after_store_and_before_commit_loses_and_doubles_nothing(tmp_path: Path) -> None:
    fill(tmp_path, 12)
    waiting = lag(tmp_path)
    with start(tmp_path, batch=10, kill_at=2) as child:
        assert child.wait(120) == -signal.SIGKILL
    assert lag(tmp_path) == waiting - 10, "one batch was committed; the next was stored, but its commit never came"
    with closing(look_into(tmp_path / "buffer")) as buffer:
        counts = buffer.table_counts()
        assert counts["articles"] + counts["examples"] > 10, "the second batch is stored all the same"
    with start(tmp_path, batch=10) as child:
        assert child.wait(120) == 0
    assert lag(tmp_path) == 0
    check_that_everything_is_there_once(tmp_path, 12)


@pytest.mark.slow
def test_kills_at_any_moment_lose_and_double_nothing(tmp_path: Path) -> None:
    fill(tmp_path, 40)
    chance = random.Random(11)
    for _ in range(3):
        with start(tmp_path, batch=4) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(chance.uniform(0, 0.5))
            child.kill()
    with start(tmp_path, batch=50) as child:
        assert child.wait(120) == 0
    assert lag(tmp_path) == 0
    check_that_everything_is_there_once(tmp_path, 40)
