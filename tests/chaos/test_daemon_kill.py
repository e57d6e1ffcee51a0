"""Real daemons that are killed: no acknowledged event is lost, one champion, every run is finished exactly once."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from daemon.demo.installation import Installation
from daemon.process import presence
from registry.artifacts.local import LocalArtifacts
from tests.support.daemons import (
    BY_WORDS,
    ENTITIES,
    TOPICS,
    VICTIM,
    announced,
    ask,
    dies,
    installation,
    is_gone,
    logged,
    only_run,
    registry_of,
    send,
    serving,
    spans,
    stored_ids,
    wait_for_decision,
    wait_for_training,
    wait_until,
)

pytestmark = pytest.mark.slow

STOP_WITHIN_S = 15.0
"""A stop in the middle of training: the child ends between two steps, and nothing else takes long."""


@pytest.fixture
def daemon(tmp_path: Path, models: Path) -> Iterator[Installation]:
    made = installation(tmp_path, models)
    yield made
    made.stop()


def test_killed_at_every_stage_it_finishes_the_run_once_and_loses_nothing(daemon: Installation) -> None:
    sent = sorted(send(daemon, 160))
    dies(daemon, "mid-ingest")
    stored = stored_ids(daemon)
    assert len(stored) == 60
    assert sum(daemon.status().lag.values()) == 160 - 40, "the third batch was stored, its positions were not committed"

    daemon.start(BY_WORDS)
    ask(daemon, TOPICS)
    assert stored_ids(daemon) == sent
    child = wait_for_training(daemon, TOPICS)
    daemon.kill()
    assert wait_until(lambda: is_gone(child), 10) < 10
    killed = only_run(daemon, TOPICS)
    assert (killed.state, killed.attempt) == ("training", 1)

    dies(daemon, "half-copied")
    resumed = only_run(daemon, TOPICS)
    assert (resumed.run_id, resumed.state, resumed.attempt) == (killed.run_id, "trained", 2)
    assert LocalArtifacts(daemon.settings.artifacts_dir).list() == []

    dies(daemon, "published-unrecorded")
    assert only_run(daemon, TOPICS).state == "trained"
    with registry_of(daemon) as registry:
        assert registry.versions.list() == []

    dies(daemon, "promoted-undecided")
    assert (only_run(daemon, TOPICS).state, only_run(daemon, TOPICS).verdict) == ("published", None)

    daemon.start(BY_WORDS)
    wait_for_decision(daemon, TOPICS)
    run = only_run(daemon, TOPICS)
    assert (run.run_id, run.state, run.verdict, run.attempt) == (killed.run_id, "decided", "promote", 2)
    with registry_of(daemon) as registry:
        (version,) = registry.versions.list()
        (move,) = registry.versions.history(TOPICS)
        (champion,) = registry.versions.aliases(TOPICS)
        assert version.name == run.version == move.to_version == champion.version
        wait_until(lambda: not registry.outbox.pending(), 20)
    folder = LocalArtifacts(daemon.settings.artifacts_dir).fetch(version.artifact_id, version.manifest_sha256)
    assert list(folder.parent.iterdir()) == [folder], "nothing half copied is left"
    assert stored_ids(daemon) == sent
    events = announced(daemon)
    assert [event["type"] for event in events] == ["training.started", "model.promoted", "training.finished"]
    assert daemon.status().dead_letters == 0
    assert daemon.stop() == 0


def test_a_stop_in_the_middle_of_training_is_quick_and_the_run_goes_on_later(daemon: Installation) -> None:
    daemon.publish(spans(80))
    daemon.start(BY_WORDS)
    ask(daemon, ENTITIES)
    child = wait_for_training(daemon, ENTITIES)
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < STOP_WITHIN_S
    assert is_gone(child)
    stopped = only_run(daemon, ENTITIES)
    assert (stopped.state, stopped.attempt) == ("training", 1)
    (line,) = logged(daemon, "run.stopped")
    assert line["run_id"] == stopped.run_id
    assert logged(daemon, "daemon.stopped")[0]["failed"] == []
    with registry_of(daemon) as registry:
        assert registry.lease.holder() is None, "the next one need not wait for the lease to run out"

    daemon.start(BY_WORDS)
    wait_for_decision(daemon, ENTITIES)
    run = only_run(daemon, ENTITIES)
    assert (run.run_id, run.state, run.attempt) == (stopped.run_id, "decided", 2)
    assert run.training_set_sha256 == stopped.training_set_sha256
    assert [line["state"] for line in logged(daemon, "run.resumed")] == ["training"]


def test_a_side_task_that_dies_stops_the_daemon_loudly(daemon: Installation) -> None:
    daemon.start([VICTIM, "broken-outbox"])
    assert daemon.wait(60) == 1
    (died,) = logged(daemon, "side_task.died")
    assert (died["side_task"], died["reason"]) == ("outbox", "the outbox is upside down")
    assert "Traceback" in died["exception"]
    assert logged(daemon, "daemon.stopped")[0]["failed"] == ["outbox"]


def test_serving_outlives_a_killed_daemon_is_adopted_restarted_and_stopped(tmp_path: Path, models: Path) -> None:
    daemon = installation(tmp_path, models, serve=True)
    daemon.start()
    try:
        first = serving(daemon)
        daemon.kill()
        assert answers(first.address)
        daemon.start()
        wait_until(lambda: logged(daemon, "serving.up")[-1]["adopted"], 30)
        assert serving(daemon) == first
        psutil.Process(first.pid).kill()
        wait_until(lambda: (here := presence.read(daemon.settings.data_dir)) is not None and here.pid != first.pid, 60)
        second = serving(daemon)
        assert answers(second.address)
        assert [line["address"] for line in logged(daemon, "serving.died")] == [first.address]
    finally:
        exit_code = daemon.stop()
    assert exit_code == 0
    assert not presence.is_alive(second)
    assert not answers(second.address)


def answers(address: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{address}/healthz", timeout=10) as response:
            return bool(response.status == 200)
    except OSError:
        return False
