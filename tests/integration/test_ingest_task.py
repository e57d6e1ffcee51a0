"""One consumer of the daemon: it rewinds the log after a repair before it reads, and asks for the lag now and then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from structlog.testing import capture_logs

from config.errors import RetryError
from config.settings import Settings, load_settings
from consumers.buffer.open import open_writer
from consumers.dead_letters.store import DeadLetters
from consumers.erasure.requests import Erasures
from consumers.events.schemas import FEEDBACK_TOPIC, to_bytes
from consumers.ingest import Ingest, IngestOutcome
from consumers.log.embedded.log import EmbeddedLog
from consumers.log.open import open_event_log
from consumers.log.protocols import EventLog
from daemon.flow.ingest_task import IngestTask
from daemon.telemetry.metrics import DaemonMetrics
from tests.support.buffers import NOW, TASKS, label

GROUP = "buffer-feedback"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "data").mkdir()
    return load_settings(data_dir=tmp_path / "data", ingest={"poll_timeout_s": 0.05, "min_free_disk_mib": 0})


@pytest.fixture
def log(settings: Settings) -> Iterator[EventLog]:
    with closing(open_event_log(settings)) as opened, closing(opened.sink()) as sink:
        for number in range(10):
            sink.publish(FEEDBACK_TOPIC, to_bytes(label(f"l-{number}", f"text {number}")))
        sink.flush()
        yield opened


def run(settings: Settings, log: EventLog, metrics: DaemonMetrics, *, steps: int = 3, **given: Any) -> int:
    """Open the buffer as a start does, take some steps, and return how many examples are there."""
    with closing(open_writer(settings.buffer_dir, settings.buffer, tasks=TASKS, clock=lambda: NOW)) as buffer:
        letters, erasures = DeadLetters(settings.dead_letter_file), Erasures(settings.data_dir)
        task = IngestTask(
            GROUP, FEEDBACK_TOPIC, event_log=log, buffer=buffer, dead_letters=letters, erasures=erasures, tasks=lambda: TASKS,
            settings=settings, metrics=metrics, **given,
        )  # fmt: skip
        with closing(letters), closing(erasures), closing(task):
            for _ in range(steps):
                assert task.step() == 0.0
        return buffer.table_counts()["examples"]


def test_what_a_repair_took_away_comes_again(settings: Settings, log: EventLog) -> None:
    assert run(settings, log, DaemonMetrics()) == 10
    newest = max((settings.buffer_dir / "examples.lance" / "data").glob("*.lance"), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(b"")
    assert run(settings, log, DaemonMetrics()) == 10
    assert run(settings, log, DaemonMetrics()) == 10


def test_a_rewind_that_fails_is_tried_again_and_nothing_is_read_before(settings: Settings, log: EmbeddedLog) -> None:
    run(settings, log, DaemonMetrics())
    newest = max((settings.buffer_dir / "examples.lance" / "data").glob("*.lance"), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(b"")
    away = Mock(wraps=log, rewind=Mock(side_effect=RetryError("a former leader is still counted in")))
    with pytest.raises(RetryError, match="former leader"):
        run(settings, away, DaemonMetrics())
    away.source.assert_not_called()
    assert run(settings, log, DaemonMetrics()) == 10, "the next start still knows that the log must go back"


def test_a_gap_is_recorded_once_the_record_can_be_written(
    settings: Settings, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing: list[int] = [3, 0, 2]
    recorded: list[tuple[str, int]] = []
    monkeypatch.setattr(Ingest, "step", lambda _self: IngestOutcome(missing=missing.pop(0)))

    def away_at_first(topic: str, count: int) -> None:
        if len(missing) == 2:
            raise RetryError
        recorded.append((topic, count))

    with capture_logs() as lines:
        run(settings, log, DaemonMetrics(), gap=away_at_first)
    assert recorded == [(FEEDBACK_TOPIC, 3), (FEEDBACK_TOPIC, 2)]
    assert [line["missing"] for line in lines if line["event"] == "ingest.gap_not_recorded"] == [3]


def test_the_lag_is_shown_with_the_time_of_the_answer(settings: Settings, log: EventLog) -> None:
    metrics = DaemonMetrics()
    run(settings, log, metrics, steps=1)
    labels = {"topic": FEEDBACK_TOPIC}
    assert metrics.registry.get_sample_value("perennial_ingest_lag_events", labels) == 0
    assert (metrics.registry.get_sample_value("perennial_log_last_answer_timestamp_seconds", labels) or 0) > 0
