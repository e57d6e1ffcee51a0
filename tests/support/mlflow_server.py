"""A real MLflow server: the application that `mlflow server` runs, on a free port, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import httpx

from tests.kafka.broker import free_port
from tests.support.missing import missing

_STARTS_WITHIN_S = 240.0
_SERVE = """
import sys
from werkzeug.serving import run_simple
from mlflow.server import app
run_simple("127.0.0.1", int(sys.argv[1]), app, threaded=True)
"""


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """Serve from a database in `folder`; yield the address."""
    if find_spec("mlflow") is None or find_spec("flask_cors") is None:
        missing("mlflow-skinny, Flask and flask-cors are not installed")
    port, store = free_port(), f"sqlite:///{folder}/mlflow.db"
    environment = os.environ | {
        "_MLFLOW_SERVER_FILE_STORE": store, "_MLFLOW_SERVER_REGISTRY_STORE": store,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": str(folder / "artifacts"), "MLFLOW_DISABLE_TELEMETRY": "true",
    }  # fmt: skip
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", _SERVE, str(port)], env=environment, stdout=log, stderr=log)
        url = f"http://127.0.0.1:{port}"
        try:
            _wait(process, url, folder / "server.log")
            yield url
        finally:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait until it answers from its database, whose tables are made at the first question."""
    until = time.monotonic() + _STARTS_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        try:
            body = {"max_results": 1}
            if httpx.post(f"{url}/api/2.0/mlflow/experiments/search", json=body, timeout=_STARTS_WITHIN_S).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    message = f"MLflow does not answer: {log.read_text(errors='replace')[-2000:]}"
    raise AssertionError(message)
