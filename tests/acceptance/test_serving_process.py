"""The real process: says where it listens, answers, stops in time with what is in flight, refuses wrong settings."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import threading
import time
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from consumers.events.schemas import FEEDBACK_TOPIC, PREDICTIONS_TOPIC
from consumers.log.embedded.log import EmbeddedLog
from daemon.process import presence
from tests.support.served import TASK, TEXT, ServedData, eventually
from tests.support.serving_process import serving, spawn

PREDICT = f"/v1/tasks/{TASK}/predict"
STOP_S = 20
ASKERS, BUSY_S, PROBE = 4, 3.0, 8
"""How many ask at once, how long that keeps the model busy, and how many texts tell how fast this machine is."""
FEEDBACK = {"task": TASK, "user_id": "u", "verdict": "correction", "text": TEXT, "target": {"spans": []}, "event_id": "fb-1"}


@pytest.fixture
def data(tmp_path: Path) -> ServedData:
    made = ServedData(tmp_path)
    made.champion()
    return made


def ready(address: str) -> None:
    eventually(lambda: httpx.get(f"{address}/readyz").status_code == 200, within_s=60)


def count(data: ServedData, topic: str) -> int:
    log = EmbeddedLog(data.settings.event_log_file, retention=timedelta(days=1))
    first, following = log.positions(topic)
    log.close()
    return following - first


def in_flight(address: str) -> int:
    """Return how many requests are being answered, without the one that asks."""
    text = httpx.get(f"{address}/metrics", timeout=30).text
    return int(float(re.search(r"^perennial_http_requests_in_flight (.+)$", text, flags=re.MULTILINE)[1])) - 1


def texts_for(seconds: float, address: str) -> list[str]:
    """Return so many long texts as the model needs that time for: enough to be in flight, few enough for a stop to wait for."""
    began = time.monotonic()
    httpx.post(f"{address}{PREDICT}", json={"texts": [TEXT * 60] * PROBE}, timeout=60).raise_for_status()
    return [TEXT * 60] * max(2, min(40, round(PROBE * seconds / (time.monotonic() - began))))


def refuses(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=STOP_S).close()
    except ConnectionRefusedError:
        return True
    return False


def test_from_start_to_sigterm_with_requests_in_flight(data: ServedData) -> None:
    with serving(data.settings) as (process, address):
        assert httpx.get(f"{address}/healthz").json()["pid"] == process.pid
        here = presence.read(data.settings.data_dir)
        assert (here.pid, here.address) == (process.pid, address)
        assert presence.is_alive(here)
        ready(address)

        host, port = address.removeprefix("http://").split(":")
        texts = texts_for(BUSY_S / ASKERS, address)
        # Before the others: one that is not accepted yet when the signal comes is held until the limit.
        idle = socket.create_connection((host, int(port)), timeout=STOP_S)
        outcomes: list[httpx.Response | Exception] = []

        def ask() -> None:
            try:
                outcomes.append(httpx.post(f"{address}{PREDICT}", json={"texts": texts}, timeout=60))
            except httpx.HTTPError as error:
                outcomes.append(error)

        askers = [threading.Thread(target=ask) for _ in range(ASKERS)]
        for asker in askers:
            asker.start()
        eventually(lambda: in_flight(address) >= len(askers))
        asked_at = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b"", "a connection without a request is closed, not cut"
        idle.close()
        eventually(lambda: refuses(host, int(port)))
        assert process.poll() is None, "while what is in flight is still answered"
        assert process.wait(STOP_S) == 0
        assert time.monotonic() - asked_at < STOP_S
        for asker in askers:
            asker.join(STOP_S)
        assert [getattr(one, "status_code", one) for one in outcomes] == [200] * ASKERS
        assert presence.read(data.settings.data_dir) is None
    predicted = PROBE + ASKERS * len(texts)
    assert count(data, PREDICTIONS_TOPIC) == predicted, "answered predictions were written before the process ended"


def test_a_sigterm_while_the_first_model_is_still_loading_ends_cleanly(data: ServedData) -> None:
    with serving(data.settings) as (process, _address):
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S) == 0


def test_it_outlives_the_reader_of_its_output_and_a_sigkill_leaves_no_false_presence(data: ServedData) -> None:
    process = spawn(data.settings, stderr=subprocess.PIPE)
    try:
        address = process.stdout.readline().split('"address": "')[1].split('"')[0]
        process.stdout.close()
        process.stderr.close()  # the daemon that held the other end has died
        ready(address)
        data.champion()
        eventually(lambda: httpx.post(f"{address}{PREDICT}", json={"text": TEXT}).json().get("version") == f"{TASK}/v2")
        assert httpx.post(f"{address}/v1/feedback", json=FEEDBACK).status_code == 202
        process.kill()
        process.wait()
        assert not presence.is_alive(presence.read(data.settings.data_dir))
        assert count(data, FEEDBACK_TOPIC) == 1, "what was acknowledged survives the kill"
    finally:
        process.kill()
        process.wait()


def test_wrong_settings_are_refused_with_exit_code_2_and_a_remedy(data: ServedData) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        cases = [
            (data.settings_with(port=port), [f"port {port}", "PERENNIAL_SERVING__PORT"]),
            (data.settings_with(host="0.0.0.0"), ["serving.token is empty", "PERENNIAL_SERVING__TOKEN"]),  # noqa: S104 - what is tested
            (data.settings.model_copy(update={"tasks_dir": str(data.folder / "none")}), ["none does not exist", "tasks_dir"]),
        ]
        started = [(spawn(settings, stderr=subprocess.PIPE), said) for settings, said in cases]
        for process, said in started:
            output, errors = process.communicate(timeout=60)
            assert process.returncode == 2
            assert output == ""
            assert all(part in errors for part in said), errors
            assert "Traceback" not in errors
