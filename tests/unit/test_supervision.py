from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from config.errors import RetryError, UserError
from config.settings import load_settings
from daemon.process import presence
from daemon.process import supervision as module
from daemon.process.supervision import ServingChild

pytestmark = pytest.mark.process


def child(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch, stop: threading.Event | None = None) -> ServingChild:
    """A supervisor whose serving process is a shell script."""
    program = folder / "serving"
    program.write_text(f"#!/bin/sh\necho $$ > {folder}/pid\n{body}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    return ServingChild(load_settings(data_dir=folder), stop or threading.Event())


def pid_of(folder: Path) -> int:
    deadline = time.monotonic() + 10
    while not (folder / "pid").exists() or not (folder / "pid").read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int((folder / "pid").read_text())


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process that could be a server which an earlier daemon, or a person, has started."""
    # A test run that nohup started ignores hang-ups, and its children would too.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    process = subprocess.Popen(["sleep", "60"])
    signal.signal(signal.SIGHUP, before)
    with process:
        yield process
        process.kill()


def serves(folder: Path, process: subprocess.Popen[bytes], started_under: str) -> None:
    """Write what the process would write of itself."""
    here = presence.write(folder, "http://127.0.0.1:2", started_under=started_under)
    began = psutil.Process(process.pid).create_time() - psutil.boot_time()
    content = asdict(replace(here, pid=process.pid, started_s_after_boot=began))
    (folder / presence.FILE_NAME).write_text(json.dumps(content), encoding="utf-8")


def test_a_server_that_no_daemon_started_is_used_and_not_stopped(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    serves(tmp_path, other, "")
    supervisor = ServingChild(load_settings(data_dir=tmp_path), threading.Event())
    supervisor.step()
    assert supervisor.address == "http://127.0.0.1:2"
    supervisor.stop()
    assert other.poll() is None


def test_one_that_a_crashed_daemon_started_is_adopted_and_stopped(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    settings = load_settings(data_dir=tmp_path)
    serves(tmp_path, other, module.digest(settings))
    supervisor = ServingChild(settings, threading.Event())
    supervisor.step()
    assert supervisor.address == "http://127.0.0.1:2"
    supervisor.stop()
    assert other.poll() is not None


def test_one_under_other_settings_is_started_anew(
    tmp_path: Path, other: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    serves(tmp_path, other, module.digest(load_settings(data_dir=tmp_path, serving={"token": "former"})))
    supervisor = child(tmp_path, """echo '{"address": "http://127.0.0.1:1"}'\nexec sleep 60""", monkeypatch)
    supervisor.step()
    assert other.poll() is not None
    assert supervisor.address == "http://127.0.0.1:1"
    supervisor.stop()


def test_settings_that_serving_refuses_are_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="refused its settings"):
        child(tmp_path, "exit 2", monkeypatch).step()


def test_settings_that_are_refused_after_it_was_up_do_not_end_the_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = """test -e {folder}/changed && exit 2\necho '{{"address": "http://127.0.0.1:1"}}'\nexec sleep 60"""
    supervisor = child(tmp_path, body.format(folder=tmp_path), monkeypatch)
    supervisor.step()
    psutil.Process(pid_of(tmp_path)).kill()
    (tmp_path / "changed").touch()
    with pytest.raises(RetryError, match="ended at once with code 2"):
        supervisor.step()


def test_only_serving_that_a_daemon_started_is_told_to_reload(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    supervisor = ServingChild(load_settings(data_dir=tmp_path), threading.Event())
    supervisor.reload()
    serves(tmp_path, other, "")
    supervisor.reload()
    serves(tmp_path, other, "another")
    assert other.poll() is None
    supervisor.reload()
    assert other.wait(10) == -signal.SIGHUP


def test_a_serving_process_that_ends_at_once_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = child(tmp_path, "exit 7", monkeypatch)
    for _ in range(2):
        with pytest.raises(RetryError, match="ended at once with code 7"):
            supervisor.step()


def test_one_that_does_not_come_up_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_START_LIMIT_S", 0.3)
    with pytest.raises(RetryError, match="did not come up"):
        child(tmp_path, "exec sleep 60", monkeypatch).step()
    assert not psutil.pid_exists(pid_of(tmp_path))


def test_a_stop_does_not_wait_for_one_that_is_still_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    supervisor = child(tmp_path, "exec sleep 60", monkeypatch, stop)
    starting = threading.Thread(target=supervisor.step)
    starting.start()
    pid = pid_of(tmp_path)
    stop.set()
    starting.join(10)
    assert not starting.is_alive()
    assert not psutil.pid_exists(pid)
    supervisor.stop()


def test_one_that_ignores_the_polite_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STOP_LIMIT_S", 0.3)
    body = """trap '' TERM\necho '{"address": "http://127.0.0.1:1"}'\nwhile :; do sleep 0.1; done"""
    supervisor = child(tmp_path, body, monkeypatch)
    supervisor.step()
    assert supervisor.address == "http://127.0.0.1:1"
    supervisor.stop()
    assert not psutil.pid_exists(pid_of(tmp_path))
    assert supervisor.address is None
