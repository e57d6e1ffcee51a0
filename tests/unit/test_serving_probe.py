"""Serving is asked whether it answers: one that hangs or was stopped is told of, killed and started again by its supervisor."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from config.settings import load_settings
from daemon.operations.doctor import serving as serving_checks
from daemon.process import presence, probe, supervision
from daemon.process.supervision import ServingChild

pytestmark = pytest.mark.process

ANSWERS = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(sys.argv[1])); self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def here(process: subprocess.Popen[str], port: int, started_under: str = "x") -> presence.Presence:
    began = presence._started_s_after_boot(process.pid)
    return presence.Presence(process.pid, began, presence._boot_id(), f"http://127.0.0.1:{port}", started_under)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[str], int]]:
    status = str(getattr(request, "param", 200))
    with subprocess.Popen([sys.executable, "-c", ANSWERS, status], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
        process.kill()


def test_one_that_answers_has_no_problem(server: tuple[subprocess.Popen[str], int]) -> None:
    assert probe.problem(here(*server)) is None


@pytest.mark.parametrize("server", [500], indirect=True)
def test_one_that_answers_with_an_error_has_one(server: tuple[subprocess.Popen[str], int]) -> None:
    assert "answered with 500" in (probe.problem(here(*server)) or "")


def test_a_stopped_one_a_silent_one_and_one_that_refuses_are_told_apart(server: tuple[subprocess.Popen[str], int]) -> None:
    process, _port = server
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "not answered within" in (probe.problem(here(process, silent.getsockname()[1]), patience_s=0.2) or "")
        free = silent.getsockname()[1]
    assert "failed" in (probe.problem(here(process, free)) or "")
    os.kill(process.pid, signal.SIGSTOP)
    try:
        while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
            pass
        assert "stopped by a signal" in (probe.problem(here(*server)) or "")
    finally:
        os.kill(process.pid, signal.SIGCONT)


@pytest.mark.parametrize("ours", [True, False])
def test_serving_under_sigstop_is_killed_after_three_questions_where_a_daemon_started_it(
    tmp_path: Path, server: tuple[subprocess.Popen[str], int], monkeypatch: pytest.MonkeyPatch, *, ours: bool
) -> None:
    process, port = server
    settings = load_settings(data_dir=tmp_path)
    tmp_path.mkdir(exist_ok=True)
    found = here(process, port, supervision.digest(settings) if ours else "")
    monkeypatch.setattr(presence, "read", lambda _folder: found)
    monkeypatch.setattr(supervision, "_PROBE_EVERY_S", 0.0)
    started = threading.Event()
    monkeypatch.setattr(ServingChild, "_start", lambda _self: started.set())
    supervisor = ServingChild(settings, threading.Event())
    supervisor.step()
    os.kill(process.pid, signal.SIGSTOP)
    while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
        pass
    told = {finding.check: finding for finding in [serving_checks.port(settings, {})]}["serving"]
    assert (told.level, "stopped by a signal" in told.found) == ("problem", True)
    with capture_logs() as lines:
        for _ in range(3):
            assert process.poll() is None
            supervisor.step()
    assert [line["times"] for line in lines if line["event"] == "serving.does_not_answer"] == [1, 2, 3]
    if ours:
        process.wait(20)
        assert started.is_set()
    else:
        assert (process.poll(), started.is_set()) == (None, False)
        os.kill(process.pid, signal.SIGCONT)
