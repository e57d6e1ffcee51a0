"""A broker for one benchmark, with our topics, and the settings that lead to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from config.settings import shipped_settings
from consumers.log.kafka import topics
from tests.kafka.broker import Broker, resolve_jars


@contextlib.contextmanager
def kafka_sections(folder: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """Run a broker with our topics; yield the settings that lead to it."""
    resolve_jars()
    broker = Broker(folder, jvm=()).start()
    try:
        sections: dict[str, dict[str, Any]] = {"events": {"backend": "kafka"}, "kafka": {"bootstrap_servers": broker.address}}
        topics.create_missing(shipped_settings("training", **sections), partitions=1, replication_factor=1)
        yield sections
    finally:
        broker.kill()
