"""The daemon's start and stop in this process: whatever goes wrong, the lease, the buffer and the exit code are right."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from structlog.testing import capture_logs

from config.clock import utc_now
from config.errors import RetryError, StopError, UserError
from config.settings import Settings, load_settings
from consumers.buffer.folder import WriterHeldError
from consumers.buffer.open import open_writer
from consumers.buffer.writer import BufferWriter
from consumers.enrichment.enrich import Enricher
from daemon import app as module
from daemon.app import Daemon
from daemon.process import leadership
from registry import promotion
from registry.artifacts.local import LocalArtifacts
from registry.database.schema import notice_channels
from registry.leases import Lease
from registry.store import Registry
from tests.kafka.broker import free_port
from tests.support.receivers import http_receiver
from tests.support.registries import TASK, add_version

LIMIT_S = 30.0


class Running:
    """A daemon without serving, in a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self.daemon = Daemon(settings, serve=False)
        self.exit_code: int | None = None
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self, *, limit_s: float = LIMIT_S) -> int | None:
        """Wait for it to end by itself."""
        self._thread.join(limit_s)
        assert not self._thread.is_alive(), "the daemon did not end"
        return self.exit_code

    def stop(self) -> int | None:
        self.daemon.stop()
        return self.end()

    def _run(self) -> None:
        try:
            self.exit_code = self.daemon.run()
        except Exception as error:  # noqa: BLE001 - looked at by the test
            self.error = error


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(
        data_dir=tmp_path / "data", telemetry={"port": -1}, registry={"lease_s": 2.0}, training={"stop_grace_s": 0.1}
    )


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as captured:
        yield captured


def wait_for(lines: list[Any], event: str, **fields: object) -> dict[str, Any]:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        for line in list(lines):
            if line["event"] == event and fields.items() <= line.items():
                return dict(line)
        time.sleep(0.02)
    message = f"{event} {fields} was not logged; there were {[line['event'] for line in lines]}"
    raise AssertionError(message)


def check_free(settings: Settings) -> None:
    """Another daemon could start at once."""
    with Registry.open(settings.registry_url) as registry:
        assert registry.lease.holder() is None
    open_buffer(settings).close()


def open_buffer(settings: Settings) -> BufferWriter:
    return open_writer(settings.buffer_dir, settings.buffer, tasks={})


def test_it_starts_and_stops_and_leaves_everything_free(settings: Settings, lines: list[Any]) -> None:
    running = Running(settings)
    wait_for(lines, "daemon.started")
    started = time.monotonic()
    assert running.stop() == 0
    # Not even a check interval (5 s) passes: the stop wakes the cycle.
    assert time.monotonic() - started < 4
    assert wait_for(lines, "daemon.stopped")["failed"] == []
    check_free(settings)


@pytest.mark.parametrize(("keep", "left"), [(1, [3]), (0, [1, 2, 3])])
def test_versions_beyond_those_to_keep_lose_their_files_by_themselves(
    tmp_path: Path, settings: Settings, lines: list[Any], keep: int, left: list[int]
) -> None:
    wanted = settings.model_copy(update={"registry": settings.registry.model_copy(update={"keep_versions": keep})})
    artifacts = LocalArtifacts(wanted.artifacts_dir)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    wanted.data_dir.mkdir()
    with Registry.open(wanted.registry_url) as registry:
        published = [artifacts.publish(TASK, number, tmp_path / "model") for number in (1, 2, 3)]
        for one in published:
            add_version(registry, artifact_id=one.artifact_id)
    running = Running(wanted)
    done = wait_for(lines, "daemon.housekeeping")
    assert running.stop() == 0
    assert done["artifacts_removed"] == [one.artifact_id for number, one in enumerate(published, 1) if number not in left]
    assert artifacts.list() == [published[number - 1].artifact_id for number in left]


def test_it_tells_people_and_a_receiver_that_is_away_keeps_nothing_waiting(settings: Settings, lines: list[Any]) -> None:
    with http_receiver() as receiver:
        away = f"http://127.0.0.1:{free_port()}/"
        told = {"webhook_url": SecretStr(away), "slack_url": SecretStr(receiver.url)}
        running = Running(settings.model_copy(update={"notifications": settings.notifications.model_copy(update=told)}))
        wait_for(lines, "daemon.started")
        with Registry.open(settings.registry_url) as registry:
            while not all(name in _channels(registry) for name in ("slack", "webhook")):
                time.sleep(0.02)
            event = {"event_id": "r:training.failed", "type": "training.failed", "task": TASK, "run_id": "r", "error": "no disk"}
            registry.outbox.add(event)
            wait_for(lines, "notification.sent", channel="slack", kind="run_failed")
            wait_for(lines, "notification.retry", channel="webhook")
            assert registry.outbox.pending() == []
        assert running.stop() == 0
    assert b"no disk" in receiver.bodies[0]
    check_free(settings)


def test_a_mirror_whose_server_is_away_keeps_nothing_waiting(settings: Settings, lines: list[Any]) -> None:
    away = settings.mlflow.model_copy(update={"url": f"http://127.0.0.1:{free_port()}"})
    settings.data_dir.mkdir()
    with Registry.open(settings.registry_url) as registry:
        add_version(registry)
        promotion.promote_by_hand(registry, f"{TASK}/v1", actor="test", reason="better")
        running = Running(settings.model_copy(update={"mlflow": away}))
        wait_for(lines, "mirror.retry", task=TASK)
        deadline = time.monotonic() + LIMIT_S
        while registry.outbox.pending() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert registry.outbox.pending() == []
    assert running.stop() == 0
    check_free(settings)


def _channels(registry: Registry) -> list[str]:
    with registry.database.read() as connection:
        return list(connection.execute(sa.select(notice_channels.c.channel)).scalars())


def test_a_start_that_fails_half_way_frees_what_it_had_taken(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        wrong = settings.model_copy(update={"telemetry": settings.telemetry.model_copy(update={"port": port})})
        running = Running(wrong)
        running.end()
    assert isinstance(running.error, UserError)
    assert f"port {port}" in str(running.error)
    check_free(settings)
    assert not [thread for thread in threading.enumerate() if thread.name == "lease"]


def test_a_side_task_that_dies_ends_the_daemon_with_code_1(
    settings: Settings, lines: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: object) -> None:
        message = "the encoder is gone"
        raise StopError(message)

    monkeypatch.setattr(Enricher, "step", broken)
    running = Running(settings)
    assert running.end() == 1
    died = wait_for(lines, "side_task.died", side_task="enrich")
    assert died["reason"] == "the encoder is gone"
    assert wait_for(lines, "daemon.stopped")["failed"] == ["enrich"]
    check_free(settings)


def test_a_side_task_that_hangs_cannot_hold_up_the_end(
    settings: Settings, lines: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, free = threading.Event(), threading.Event()

    def hanging(_self: object) -> None:
        entered.set()
        free.wait()

    monkeypatch.setattr(Enricher, "step", hanging)
    monkeypatch.setattr(module, "SIDE_TASKS_LIMIT_S", 3.0)
    running = Running(settings)
    assert entered.wait(LIMIT_S)
    assert running.stop() == 1
    assert wait_for(lines, "daemon.slow_stop")["side_tasks"] == ["enrich"]
    with Registry.open(settings.registry_url) as registry:
        assert registry.lease.holder() is None
    # What it holds is not closed under it: the kernel does that when the process ends.
    with pytest.raises(WriterHeldError):
        open_buffer(settings)
    free.set()


def test_a_leader_that_was_taken_over_stops_with_code_1_and_says_why(settings: Settings, lines: list[Any]) -> None:
    running = Running(settings)
    wait_for(lines, "daemon.started")
    # Whoever writes next may be told first that it leads no longer. Nothing but the lease writes once this is done.
    wait_for(lines, "daemon.housekeeping")
    with Registry.open(settings.registry_url, clock=lambda: utc_now() + timedelta(minutes=1)) as later:
        assert later.lease.acquire("elsewhere:7", 600.0) is not None
    assert running.end() == 1
    died = wait_for(lines, "side_task.died", side_task="lease")
    assert "has taken over the leader's lease; this daemon stops so that two never write" in died["reason"]
    with Registry.open(settings.registry_url) as registry:
        assert registry.lease.holder() == "elsewhere:7"


def test_a_lease_is_kept_while_a_large_buffer_is_opened(
    settings: Settings, lines: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, opened = threading.Event(), leadership.open_writer

    def slow(*args: Any, **kwargs: Any) -> BufferWriter:
        opening.set()
        time.sleep(2 * settings.registry.lease_s)
        return opened(*args, **kwargs)

    monkeypatch.setattr(leadership, "open_writer", slow)
    running = Running(settings)
    assert opening.wait(LIMIT_S)
    with Registry.open(settings.registry_url) as registry:
        while running.exit_code is None and not any(line["event"] == "daemon.started" for line in lines):
            assert registry.lease.acquire("elsewhere:7", 2.0) is None
            time.sleep(0.2)
    assert running.stop() == 0


def test_a_standby_waits_for_the_lease_and_ends_when_asked(settings: Settings, lines: list[Any]) -> None:
    settings.data_dir.mkdir(parents=True)
    with Registry.open(settings.registry_url) as registry:
        token = registry.lease.acquire("elsewhere:7", 600.0)
        assert token is not None
        running = Running(settings)
        assert wait_for(lines, "daemon.standby")["leader"] == "elsewhere:7"
        assert running.stop() == 0
        running = Running(settings)
        registry.lease.release("elsewhere:7", token)
        wait_for(lines, "daemon.started")
        assert running.stop() == 0


def test_another_host_of_the_same_name_is_not_taken_for_itself(settings: Settings, lines: list[Any]) -> None:
    settings.data_dir.mkdir(parents=True)
    namesake = f"{socket.gethostname()}:{os.getpid()}"
    with Registry.open(settings.registry_url) as registry:
        assert registry.lease.acquire(namesake, 600.0) is not None
        running = Running(settings)
        assert wait_for(lines, "daemon.standby")["leader"] == namesake
        assert running.stop() == 0
        assert registry.lease.holder() == namesake


def test_a_new_leader_waits_for_the_buffer_of_the_former_one(settings: Settings, lines: list[Any]) -> None:
    settings.data_dir.mkdir(parents=True)
    with closing(open_buffer(settings)):
        running = Running(settings)
        assert "is being written by process" in wait_for(lines, "daemon.standby")["reason"]
        assert not any(line["event"] == "daemon.started" for line in lines)
    wait_for(lines, "daemon.started")
    assert running.stop() == 0


def test_a_registry_that_does_not_answer_is_asked_again(
    settings: Settings, lines: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire, failures = Lease.acquire, iter([True, False, False])

    def flaky(self: Lease, holder: str, ttl_s: float, **more: int) -> int | None:
        if next(failures):
            message = "the registry did not answer"
            raise RetryError(message)
        return acquire(self, holder, ttl_s, **more)

    monkeypatch.setattr(Lease, "acquire", flaky)
    running = Running(settings)
    assert wait_for(lines, "daemon.standby")["reason"] == "the registry did not answer"
    wait_for(lines, "daemon.started")
    assert running.stop() == 0
