"""Two daemons over one folder: the leader is killed or frozen, the standby takes over, and never do two of them write."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from daemon.demo.installation import Installation
from tests.support.daemons import (
    ENTITIES,
    LEASE_S,
    LIMIT_S,
    SPARED,
    TOPICS,
    VICTIM,
    Asker,
    Second,
    ask,
    check_one_champion,
    end_serving,
    give_champion,
    installation,
    lines_of,
    logged,
    only_run,
    registry_of,
    send,
    serving,
    wait_until,
    wait_until_stored,
)
from tests.support.kafka_logs import empty_topics, shared_broker

pytestmark = pytest.mark.slow


@pytest.fixture(params=["embedded", "kafka"])
def daemon(request: pytest.FixtureRequest, tmp_path: Path, models: Path) -> Iterator[Installation]:
    kafka = shared_broker().address if request.param == "kafka" else ""
    made = installation(tmp_path, models, serve=True, kafka=kafka, training={"stop_grace_s": 1.0})
    if kafka:
        empty_topics(made.settings)
    give_champion(made)
    yield made
    made.stop()
    end_serving(made)


def standby(daemon: Installation, *faults: str) -> Second:
    return Second(daemon, program=[VICTIM, ",".join(["impatient", *faults])])


def is_frozen(daemon: Installation) -> bool:
    return psutil.Process(daemon.pid).status() == psutil.STATUS_STOPPED


def wait_for_the_lease(second: Second) -> None:
    """Wait until the standby leads, and stands before the buffer that the frozen one holds."""
    wait_until(lambda: "is being written by process" in second.log_file.read_text())
    assert lines_of(second.log_file, "daemon.started") == []


def tell(capsys: pytest.CaptureFixture[str], what: str) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n{what}\n")


def test_a_killed_leader_is_followed_and_serving_answers_throughout(
    daemon: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.start([VICTIM, "impatient,unenriched"])
    sent = send(daemon, 40, prefix="a")
    wait_until_stored(daemon, sent)
    before = serving(daemon)
    with standby(daemon, "unenriched") as second, Asker(daemon):
        second.wait_for("daemon.standby")
        sent += send(daemon, 200, prefix="b")
        daemon.kill()
        took_s = wait_until(lambda: lines_of(second.log_file, "daemon.started"))
        tell(capsys, f"kill -9 of the leader: the standby led after {took_s:.1f} s, with a lease of {LEASE_S:.0f} s")
        sent += send(daemon, 20, prefix="c")
        wait_until_stored(daemon, sent)
        assert second.wait_for("serving.up")["adopted"]
        assert serving(daemon) == before
        assert daemon.status().leader == second.wait_for("daemon.started")["leader"]
    check_one_champion(daemon, ENTITIES)


def test_a_leader_frozen_past_its_lease_is_fenced_off_when_it_goes_on(
    daemon: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.start([VICTIM, f"frozen-before-promotion,{SPARED}"])
    sent = send(daemon, 160)
    ask(daemon, TOPICS)
    wait_until(lambda: is_frozen(daemon))
    frozen_at = time.monotonic()
    with standby(daemon, SPARED) as second, Asker(daemon):
        wait_for_the_lease(second)
        os.kill(daemon.pid, signal.SIGCONT)
        assert daemon.wait(LIMIT_S) == 1
        refused = {line["side_task"]: line["reason"] for line in logged(daemon, "side_task.died")}
        assert "no longer the leader: its token is 1" in refused["cycle"]
        assert logged(daemon, "model.promoted") == []
        wait_until(lambda: only_run(daemon, TOPICS).state == "decided")
        tell(capsys, f"SIGSTOP of the leader: the standby decided its run {time.monotonic() - frozen_at:.1f} s later")
        run = only_run(daemon, TOPICS)
        assert [line["version"] for line in lines_of(second.log_file, "model.promoted")] == [run.version]
        sent += send(daemon, 20, prefix="b")
        wait_until_stored(daemon, sent)
    check_one_champion(daemon, TOPICS, run.version)
    with registry_of(daemon) as registry:
        assert len(registry.versions.history(TOPICS)) == 1


def test_a_leader_that_stays_frozen_is_killed_and_nothing_is_lost(
    daemon: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = send(daemon, 200)
    daemon.start([VICTIM, "frozen-before-store,unenriched"])
    wait_until(lambda: is_frozen(daemon))
    frozen_at = time.monotonic()
    with standby(daemon, "unenriched") as second, Asker(daemon):
        wait_for_the_lease(second)
        assert daemon.wait(LIMIT_S) == -signal.SIGKILL
        assert second.wait_for("daemon.former_leader_hangs")["killed"] == daemon.pid
        second.wait_for("daemon.started")
        tell(capsys, f"SIGSTOP of the leader for good: the standby led {time.monotonic() - frozen_at:.1f} s later")
        wait_until_stored(daemon, sent)
    check_one_champion(daemon, ENTITIES)


def test_a_leader_that_freezes_with_the_registry_locked_is_killed_too(tmp_path: Path, models: Path) -> None:
    daemon = installation(tmp_path, models)
    try:
        sent = send(daemon, 160)
        daemon.start([VICTIM, f"frozen-in-the-registry,{SPARED}"])
        ask(daemon, TOPICS)
        wait_until(lambda: is_frozen(daemon))
        with standby(daemon, SPARED) as second:
            assert daemon.wait(LIMIT_S) == -signal.SIGKILL
            assert "locked the registry" in second.wait_for("daemon.former_leader_hangs")["reason"]
            wait_until(lambda: only_run(daemon, TOPICS).state == "decided")
            wait_until_stored(daemon, sent)
        check_one_champion(daemon, TOPICS)
    finally:
        daemon.stop()
