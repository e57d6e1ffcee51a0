"""The processes of the serving benchmarks: ours, a plain app, and what asks both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.serving_load import Order
from benchmarks.serving_models import Models
from config.settings import environment_of

_READY_S = 180.0

Measured = dict[str, Any]


def ask(port: int, path: str, bodies: Sequence[str], requests: int, clients: int) -> Measured:
    """Send so many requests by so many clients, from a process of its own; return what came back."""
    order = Order("127.0.0.1", port, path, bodies, requests, clients)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving_load"],
        input=json.dumps(asdict(order)),
        capture_output=True,
        text=True,
        check=True,
    )
    found: Measured = json.loads(done.stdout)
    found.pop("versions")
    return found


@contextmanager
def ours(models: Models) -> Iterator[tuple[int, int]]:
    """Yield port and process id of the real serving process."""
    log = models.settings.data_dir / "serving.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "daemon.serving"], env=os.environ | environment_of(models.settings),
            stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        yield int(json.loads(process.stdout.readline())["address"].rpartition(":")[2]), process.pid
    finally:
        process.terminate()
        exit_code = process.wait(30)
        assert exit_code == 0, f"serving ended with {exit_code}: {log.read_text()[-4000:]}"


@contextmanager
def stock(kind: str, folder: Path, port: int = 0) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Yield port and process of a plain app."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.serving_stock", kind, str(folder), str(port)], stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process
    finally:
        process.terminate()
        process.wait(30)


def wait_for(url: str) -> Callable[[], None]:
    """Return a function that waits until an address answers 200."""

    def ready() -> bool:
        try:
            return bool(urllib.request.urlopen(url, timeout=5).status == 200)  # noqa: S310 - our own address
        except OSError:
            return False

    return lambda: until(ready)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition. Raises AssertionError when it does not hold in time."""
    deadline = time.monotonic() + _READY_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def serving_by_task(port: int) -> dict[str, str | None]:
    """Return the version that ours answers with, by task."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/tasks", timeout=30) as answer:
        return {task["name"]: task["serving"] for task in json.load(answer)["tasks"]}


def post(port: int, path: str, body: dict[str, Any]) -> None:
    """Post a body to a plain app."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=120).read()  # noqa: S310 - our own address
