"""How long `perennial train` waits for its run: as long as the daemon comes nearer to it."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from config.settings import load_settings
from config.task_files.overrides import Overrides
from consumers.events import schemas as events
from consumers.log.embedded.log import EmbeddedLog
from consumers.log.protocols import TopicPartition
from daemon.operations import training_now
from daemon.operations.training_now import Ahead, Patience, Queue
from daemon.process.leader import Leader
from daemon.views.models import runs
from tests.support import buffers


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def patience(clock: Clock) -> Patience:
    return Patience(60.0, clock)


def test_it_never_runs_out_while_a_run_is_under_way(patience: Patience, clock: Clock) -> None:
    for clock.now in range(0, 10_000, 50):
        assert not patience.is_out(None)


def test_it_lasts_while_the_queue_becomes_shorter(patience: Patience, clock: Clock) -> None:
    for ahead in [(9_000, 0), (1, 0), (0, 8_000), (0, 7_900), (0, 1)]:
        clock.now += 50
        assert not patience.is_out(ahead)


def test_it_runs_out_when_nothing_comes_nearer(patience: Patience, clock: Clock) -> None:
    assert not patience.is_out((0, 5))
    clock.now = 40.0
    assert not patience.is_out((0, 7))
    clock.now = 61.0
    assert patience.is_out((0, 5))


def test_the_queue_counts_events_to_read_and_then_texts_to_enrich(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    with closing(EmbeddedLog(settings.event_log_file, retention=timedelta(days=1))) as log, closing(log.sink()) as sink:
        sink.publish(events.FEEDBACK_TOPIC, b"{}", key=b"k")
        sink.flush()
        with closing(Queue(settings, "news-topics")) as queue:
            assert queue.ahead() == (1, 0)
            source = log.source("buffer-feedback", [events.FEEDBACK_TOPIC])
            with buffers.opened(settings.buffer_dir) as buffer:
                buffer.insert(buffers.stored(buffers.label("l-1"), buffers.label("l-2", "Other text")))
                source.commit({TopicPartition(events.FEEDBACK_TOPIC, 0): 1})
                assert queue.ahead() == (0, 2)
            source.close()


class FollowedError(Exception):
    """The request was sent, and its run is waited for."""


class Impatient:
    def waits(self, ahead: Ahead) -> None:
        raise FollowedError

    def goes_on(self, run: runs.Run, progress: runs.Progress | None) -> None:
        raise AssertionError


@pytest.mark.parametrize("overrides", [Overrides(epochs=2, learning_rate=0.001), Overrides()])
def test_settings_for_one_run_are_sent_in_the_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: Overrides
) -> None:
    settings = load_settings(data_dir=tmp_path)
    monkeypatch.setattr(training_now.leader, "of", lambda _registry: Leader("elsewhere:1:x", None))
    with closing(EmbeddedLog(settings.event_log_file, retention=timedelta(days=1))) as log, closing(log.sink()) as sink:
        sink.publish(events.FEEDBACK_TOPIC, b"{}", key=b"something to train on, perhaps")
        sink.flush()
        with pytest.raises(FollowedError):
            training_now.train(settings, "news-topics", promote=True, full=True, watch=Impatient(), overrides=overrides)
        with closing(log.source("reader", [events.FEEDBACK_TOPIC])) as source:
            sent = json.loads(list(source.poll(timeout_s=1.0, max_events=10))[-1].value)
    assert sent["full"] is True
    assert sent.get("training") == (overrides.given or None)
