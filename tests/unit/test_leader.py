"""Who leads, as status, doctor and a second daemon see it."""

from __future__ import annotations

import os
import socket
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from config.errors import RetryError
from daemon.process import leader
from registry.store import Registry
from tests.support.registries import Clock


def a_process_that_is_gone() -> int:
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def test_before_the_first_daemon_nobody_leads(registry: Registry) -> None:
    assert leader.of(registry) == leader.Leader(None, None)


def test_a_process_that_lives_leads_while_its_lease_lasts(registry: Registry, clock: Clock) -> None:
    name = leader.name_of_this_process()
    registry.lease.acquire(name, 5.0)
    assert leader.of(registry) == leader.Leader(name, None)
    clock.forward(60)
    assert leader.of(registry) == leader.Leader(None, clock() - timedelta(seconds=55))


@pytest.mark.process
def test_one_that_was_killed_a_moment_ago_leads_no_longer_though_its_lease_lasts(registry: Registry, clock: Clock) -> None:
    registry.lease.acquire(f"{socket.gethostname()}:{a_process_that_is_gone()}:ab12", 5.0)
    assert leader.of(registry) == leader.Leader(None, clock())


@pytest.mark.process
def test_of_another_machine_only_the_lease_is_known(registry: Registry) -> None:
    registry.lease.acquire(f"elsewhere:{a_process_that_is_gone()}:ab12", 5.0)
    assert leader.of(registry).holder is not None


def test_one_that_stopped_politely_is_gone_since_then(registry: Registry, clock: Clock) -> None:
    name = leader.name_of_this_process()
    token = registry.lease.acquire(name, 5.0)
    assert token is not None
    registry.lease.release(name, token)
    stopped = clock()
    clock.forward(3600)
    assert leader.of(registry) == leader.Leader(None, stopped)


def test_a_second_one_hears_of_the_first_by_its_process_id(registry: Registry, tmp_path: Path) -> None:
    first = os.getppid()
    registry.lease.acquire(f"{socket.gethostname()}:{first}:ab12", 5.0)
    with capture_logs() as lines:
        said = leader.announce_another(registry, tmp_path)
    assert said == f"A daemon (pid {first}) already runs on {tmp_path}; stop it, or choose another data_dir."
    assert [line["reason"] for line in lines if line["event"] == "daemon.another_runs"] == [said]


def test_a_container_that_was_started_anew_does_not_take_its_former_life_for_another(registry: Registry, tmp_path: Path) -> None:
    registry.lease.acquire(leader.name_of_this_process(), 5.0)
    assert leader.announce_another(registry, tmp_path) == ""


def test_where_the_registry_does_not_answer_nothing_is_said(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked() -> None:
        message = "locked"
        raise RetryError(message)

    monkeypatch.setattr(registry.lease, "last", locked)
    assert leader.announce_another(registry, tmp_path) == ""
