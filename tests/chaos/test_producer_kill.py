"""kill -9 of a producer in the middle of publishing leaves whole events only, and every acknowledged one."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from consumers.log.embedded.log import EmbeddedLog
from tests.support.event_logs import PRODUCER, read

SIZE = 20_000


def kill_while_publishing(path: Path, name: str, chance: random.Random) -> int:
    """Start a producer, kill it somewhere after its first flush, and return how many events it knew to be durable."""
    command = [sys.executable, str(PRODUCER), str(path), "news", name, "1000000", "30", str(SIZE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as producer:
        assert producer.stdout is not None
        acknowledged = int(producer.stdout.readline())
        time.sleep(chance.uniform(0, 0.1))
        producer.kill()
        rest = producer.stdout.read().split()
    return int(rest[-1]) if rest else acknowledged


def test_a_killed_producer_leaves_whole_events_and_loses_no_acknowledged_one(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    chance = random.Random(7)
    acknowledged = {name: kill_while_publishing(path, name, chance) for name in (f"p{number}" for number in range(6))}
    with closing(EmbeddedLog(path, retention=timedelta(days=1))) as log:
        first, following = log.positions("news")
        with closing(log.source("g", ["news"])) as source:
            events = read(source, following - first)
    assert [event.position.offset for event in events] == list(range(following))
    for name, count in acknowledged.items():
        own = [event.value for event in events if event.key == name.encode()]
        assert len(own) >= count > 0
        for number, value in enumerate(own):
            assert value is not None
            body, checksum = value[:-32], value[-32:]
            assert body.startswith(f"{name}-{number} ".encode()), "each producer's events are in its order, without a hole"
            assert hashlib.sha256(body).digest() == checksum


def test_two_producers_go_on_while_a_third_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    command = [sys.executable, str(PRODUCER), str(path), "news"]
    steady = [subprocess.Popen([*command, name, "300", "10"], stdout=subprocess.DEVNULL) for name in ("a", "b")]
    kill_while_publishing(path, "victim", random.Random(3))
    assert [producer.wait(60) for producer in steady] == [0, 0]
    with closing(EmbeddedLog(path, retention=timedelta(days=1))) as log, closing(log.source("g", ["news"])) as source:
        events = read(source, log.positions("news")[1])
    for name in ("a", "b"):
        own = [event.value for event in events if event.key == name.encode()]
        assert own == [f"{name}-{number}".encode() for number in range(300)]
