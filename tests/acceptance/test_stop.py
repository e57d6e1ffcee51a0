"""SIGTERM to the real `perennial run`: whatever it is doing, it is gone within the time that docs/operations.md states."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.log.kafka import topics
from daemon.app import STOP_LIMIT_S
from daemon.demo.installation import Installation
from daemon.process import presence
from registry.store import Registry
from tests.kafka.broker import Broker
from tests.support.daemons import (
    LIMIT_S,
    TOPICS,
    ask,
    installation,
    labels,
    logged,
    wait_for_training,
)
from tests.support.kafka_logs import require_kafka

pytestmark = pytest.mark.slow


@pytest.fixture
def daemon(tmp_path: Path, models: Path) -> Iterator[Installation]:
    made = installation(tmp_path, models, serve=True)
    yield made
    made.stop()


def stops_in_time(daemon: Installation) -> None:
    """SIGTERM, and everything is as it should be afterwards."""
    here = presence.read(daemon.settings.data_dir)
    began = time.monotonic()
    os.kill(daemon.pid, signal.SIGTERM)
    assert daemon.wait(LIMIT_S) == 0
    took_s = time.monotonic() - began
    assert took_s < daemon.settings.training.stop_grace_s + STOP_LIMIT_S
    assert logged(daemon, "daemon.stopped")[-1]["failed"] == []
    assert logged(daemon, "side_task.died") == []
    assert "Traceback" not in daemon.log_file.read_text()
    assert here is not None
    assert not presence.is_alive(here), "serving has ended with it"
    with Registry.open(daemon.settings.registry_url, read_only=True) as registry:
        assert registry.lease.holder() is None, "the next one need not wait for the lease to run out"


def test_idle(daemon: Installation) -> None:
    daemon.start()
    daemon.wait_until(daemon.is_quiet, limit_s=LIMIT_S, what="quiet")
    stops_in_time(daemon)


def test_while_ingesting(daemon: Installation) -> None:
    over = threading.Event()
    sent: set[str] = set()

    def publish() -> None:
        number = 0
        while not over.is_set():
            batch = list(labels(200, prefix=f"{number}-"))
            daemon.publish(batch)
            sent.update(label.event_id for label in batch)
            number += 1

    daemon.start()
    publisher = threading.Thread(target=publish)
    publisher.start()
    daemon.wait_until(lambda: daemon.status().tables["examples"] > 100, limit_s=LIMIT_S, what="the first rows")
    stops_in_time(daemon)
    over.set()
    publisher.join(60)
    status = daemon.status()
    assert status.tables["examples"] + status.lag["perennial.feedback"] == len(sent), "what was not stored was not committed"


def test_while_training(daemon: Installation) -> None:
    """A transformer; that a spaCy child stops too is in `tests/chaos/test_daemon_kill.py`."""
    daemon.publish(labels(160))
    daemon.start()
    ask(daemon, TOPICS)
    wait_for_training(daemon, TOPICS)
    stops_in_time(daemon)
    with Registry.open(daemon.settings.registry_url, read_only=True) as registry:
        assert registry.runs.last(TOPICS).state == "training", "it goes on at the next start"


@pytest.mark.parametrize("gone", ["killed", "frozen", "for long"])
def test_with_the_broker_away(tmp_path: Path, models: Path, gone: str) -> None:
    require_kafka()
    broker = Broker(tmp_path / "kafka").start()
    # What comes after the first look is not enriched: that spares the daemon the encoder, seconds of a core.
    enrich = {"interval_s": 3600.0}
    daemon = installation(tmp_path / "installation", models, serve=True, kafka=broker.address, enrich=enrich)
    try:
        topics.create_missing(daemon.settings, partitions=1, replication_factor=1)
        daemon.start()
        daemon.publish(labels(40))
        daemon.wait_until(lambda: daemon.status().tables["examples"] == 40, limit_s=LIMIT_S, what="ingest")
        daemon.wait_until(lambda: not any(daemon.status().lag.values()), limit_s=LIMIT_S, what="the commit")
        if gone == "frozen":
            broker.freeze()
        else:
            broker.kill()
        with Registry.open(daemon.settings.registry_url) as registry:
            registry.outbox.add({"type": "training.started", "task": TOPICS})
        if gone == "for long":
            daemon.wait_until(lambda: bool(logged(daemon, "side_task.retry")), limit_s=LIMIT_S, what="the loss to be noticed")
        stops_in_time(daemon)
        with Registry.open(daemon.settings.registry_url) as registry:
            assert registry.outbox.count_pending() == 1, "the next start publishes it"
    finally:
        # SIGKILL ends a frozen process too.
        broker.kill()
        daemon.stop()
