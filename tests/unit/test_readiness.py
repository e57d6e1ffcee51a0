"""`/readyz` of the daemon: 503 with the reason while a part of it makes no progress."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request

from config.errors import RetryError
from consumers.ingest import IngestOutcome
from daemon.process.side_task import SideTask
from daemon.telemetry.metrics import DaemonMetrics

TOPIC = "perennial.articles"
LOCKED = "the registry is locked"


def ask(address: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address.removesuffix("/metrics") + path, timeout=20) as response:  # noqa: S310 - our own server
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_readyz_is_503_with_the_reason_until_all_goes_on() -> None:
    metrics, stop = DaemonMetrics(), threading.Event()
    failing, failed = threading.Event(), threading.Event()
    failing.set()

    def step() -> float:
        if failing.is_set():
            failed.set()
            raise RetryError(LOCKED)
        stop.set()
        return 0.0

    address = metrics.serve("127.0.0.1", 0)
    try:
        assert ask(address, "/readyz")[0] == 503, "starting"
        metrics.readiness.stands_by()
        assert ask(address, "/readyz")[0] == 200
        task = SideTask("outbox", step, stop)
        metrics.readiness.leads([task])
        assert ask(address, "/readyz") == (200, json.dumps({"ready": True, "state": "leading", "reasons": {}}))
        metrics.ingested(TOPIC, IngestOutcome(paused="100 MiB are free"))
        task.start()
        assert failed.wait(20)
        while "outbox" not in (answer := ask(address, "/readyz"))[1]:
            pass
        assert answer[0] == 503
        reasons = json.loads(answer[1])["reasons"]
        assert reasons == {f"ingest {TOPIC}": "100 MiB are free", "outbox": "the registry is locked"}
        failing.clear()
        assert task.join(20)
        metrics.ingested(TOPIC, IngestOutcome())
        assert ask(address, "/readyz")[0] == 200
        assert ask(address, "/healthz")[0] == 200
        assert "perennial_leader" in ask(address, "/metrics")[1]
    finally:
        metrics.close()
