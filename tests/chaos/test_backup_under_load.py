"""Backups of a real daemon that ingests, trains and promotes meanwhile; each is put back and gone on with."""

from __future__ import annotations

import itertools
import json
import threading
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import pytest

from config.clock import utc_now
from config.errors import PerennialError
from consumers.events.schemas import FEEDBACK_TOPIC, Retrain
from consumers.log.kafka import topics
from consumers.log.open import open_event_log
from daemon.demo.installation import Installation
from daemon.operations.backups.manifest import Backup
from daemon.operations.backups.restore import restore
from daemon.operations.backups.take import take
from registry.artifacts.local import LocalArtifacts
from registry.store import Registry
from tests.kafka.broker import Broker
from tests.support.commands import perennial
from tests.support.daemons import (
    BY_WORDS,
    LIMIT_S,
    TOPICS,
    VICTIM,
    installation,
    labels,
    logged,
    stored_ids,
    wait_for_decision,
    wait_for_training,
)
from tests.support.kafka_logs import require_kafka

pytestmark = pytest.mark.slow
TEXT = "goal in the match today"
BATCH = 20
ENOUGH = 200
"""Labels from which a tiny BERT learns to beat the majority."""


class Publisher:
    """Publishes labels all along, enough for a model soon, then slowly, and knows which were acknowledged."""

    def __init__(self, daemon: Installation) -> None:
        self._daemon = daemon
        self._over = threading.Event()
        self._acknowledged: list[str] = []
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._publish_all_along)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        self._over.set()
        self._thread.join(60)
        if kind is None:
            assert self._failure is None
            assert not self._thread.is_alive()

    def acknowledged(self) -> set[str]:
        return set(self._acknowledged)

    def _publish_all_along(self) -> None:
        try:
            self._publish()
        except Exception as error:  # noqa: BLE001 - the edge of a thread: told to whoever ends it
            self._failure = error

    def _publish(self) -> None:
        number, stream = 0, labels(10_000)
        with closing(open_event_log(self._daemon.settings)) as log, closing(log.sink()) as sink:
            while not self._over.wait(0.05 if number < ENOUGH // BATCH else 1.0):
                batch = list(itertools.islice(stream, BATCH))
                for one in batch:
                    sink.publish(FEEDBACK_TOPIC, one.model_dump_json().encode(), key=one.event_id.encode())
                sink.flush()
                self._acknowledged += [one.event_id for one in batch]
                number += 1


def told_as_json(daemon: Installation, *arguments: str) -> Any:
    return json.loads(perennial(daemon, *arguments, "--json").stdout)


def ask(daemon: Installation, number: int) -> None:
    daemon.publish([Retrain(event_id=f"ask-{number}", occurred_at=utc_now(), task=TOPICS, full=True, reason="the test asks")])


def ids_in_log(daemon: Installation) -> set[str]:
    with closing(open_event_log(daemon.settings)) as log, closing(log.source("test", [FEEDBACK_TOPIC])) as source:
        events: list[dict[str, Any]] = []
        while raws := source.poll(timeout_s=0, max_events=10_000):
            events += [json.loads(raw.value or b"") for raw in raws]
    return {event["event_id"] for event in events if event["type"] == "label"}


def one_champion_whose_artifact_verifies(daemon: Installation, expected: str | None) -> None:
    with Registry.open(daemon.settings.registry_url, read_only=True) as registry:
        champions = [alias for alias in registry.versions.aliases(TOPICS) if alias.name == "champion"]
        assert [alias.version for alias in champions] == ([expected] if expected else [])
        for alias in champions:
            version = registry.versions.get(alias.version)
            LocalArtifacts(daemon.settings.artifacts_dir).fetch(version.artifact_id, version.manifest_sha256)


def goes_on(daemon: Installation, expected: set[str]) -> None:
    """Start over what was put back: everything is ingested once, runs end, and the champion answers."""
    daemon.start(BY_WORDS)
    daemon.wait_until(lambda: set(stored_ids(daemon)) >= expected, limit_s=LIMIT_S, what="every event to be stored")
    daemon.wait_until(daemon.is_quiet, limit_s=LIMIT_S, what="quiet")
    ids = stored_ids(daemon)
    assert len(ids) == len(set(ids)), "ids are unique"
    assert set(ids) == expected, "no acknowledged event is missing"
    assert daemon.status().dead_letters == 0
    with Registry.open(daemon.settings.registry_url, read_only=True) as registry:
        assert [run.state for run in registry.runs.list(TOPICS) if run.state != "decided"] == []
        champion = registry.versions.champion(TOPICS)
    assert champion is not None
    one_champion_whose_artifact_verifies(daemon, champion.version)
    daemon.wait_until(lambda: _version_that_answers(daemon) == champion.version, limit_s=LIMIT_S, what="the champion to answer")
    assert logged(daemon, "event_log.gap") == []
    assert logged(daemon, "buffer.repaired") == []


def _version_that_answers(daemon: Installation) -> str | None:
    try:
        return str(daemon.predict(TOPICS, [TEXT])["version"])
    except PerennialError:
        return None


def test_backups_taken_under_ingest_training_and_promotion_are_whole(tmp_path: Path, models: Path) -> None:
    daemon = installation(tmp_path / "live", models, serve=True)
    backups: list[tuple[Path, set[str], Backup]] = []

    def back_up(publisher: Publisher) -> None:
        folder = tmp_path / "backups" / str(len(backups))
        before = publisher.acknowledged()
        earlier = backups[-1][0] if backups else None
        # As the command does, which the next test runs.
        backups.append((folder, before, take(daemon.settings, folder, link_to=earlier)))

    daemon.start(BY_WORDS)
    try:
        with Publisher(daemon) as publisher:
            daemon.wait_until(lambda: len(stored_ids(daemon)) >= ENOUGH, limit_s=LIMIT_S, what="the first rows")
            back_up(publisher)
            ask(daemon, 1)
            wait_for_training(daemon, TOPICS)
            back_up(publisher)
            training = len(backups) - 1
            back_up(publisher)
            wait_for_decision(daemon, TOPICS)
            ask(daemon, 2)
            back_up(publisher)
        assert logged(daemon, "side_task.retry") == [], "the daemon was not held up"
        assert logged(daemon, "side_task.died") == []
    finally:
        daemon.stop()

    for number, (folder, before, told) in enumerate(backups):
        copy = installation(tmp_path / f"restored-{number}", models, serve=True)
        restore(copy.settings, folder)
        assert ids_in_log(copy) >= before, "what was acknowledged before the backup began is in its log"
        assert set(stored_ids(copy)) <= ids_in_log(copy), "nothing is stored that the log does not have"
        one_champion_whose_artifact_verifies(copy, told.champions.get(TOPICS))
    for number in (training, len(backups) - 1):
        copy = installation(tmp_path / f"restored-{number}", models, serve=True)
        try:
            goes_on(copy, ids_in_log(copy))
        finally:
            assert copy.stop() == 0


def test_on_kafka_the_log_is_read_again_from_where_the_backup_was_taken(tmp_path: Path, models: Path) -> None:
    require_kafka()
    broker = Broker(tmp_path / "kafka").start()
    try:
        daemon = installation(tmp_path / "live", models, kafka=broker.address)
        topics.create_missing(daemon.settings, partitions=3, replication_factor=1)
        daemon.start([VICTIM, "unenriched"])
        try:
            with Publisher(daemon) as publisher:
                daemon.wait_until(lambda: len(stored_ids(daemon)) > 60, limit_s=LIMIT_S, what="the first rows")
                told = told_as_json(daemon, "backup", str(tmp_path / "backup"))
                held = len(stored_ids(daemon))
                daemon.wait_until(lambda: len(stored_ids(daemon)) > held + 60, limit_s=LIMIT_S, what="more rows")
            expected = publisher.acknowledged()
            daemon.wait_until(lambda: set(stored_ids(daemon)) == expected, limit_s=LIMIT_S, what="every row")
        finally:
            assert daemon.stop() == 0
        assert not (tmp_path / "backup" / "events.db").exists(), "the events stay in Kafka"
        assert told["positions"][FEEDBACK_TOPIC].keys() == {"0", "1", "2"}

        copy = installation(tmp_path / "restored", models, kafka=broker.address)
        told_as_json(copy, "restore", str(tmp_path / "backup"))
        assert len(stored_ids(copy)) < len(expected), "the backup is behind what the group has committed"
        copy.start([VICTIM, "unenriched"])
        try:
            copy.wait_until(lambda: set(stored_ids(copy)) >= expected, limit_s=LIMIT_S, what="every event to be stored")
            ids = stored_ids(copy)
            assert len(ids) == len(set(ids))
            assert set(ids) == expected
            assert {line["group"] for line in logged(copy, "event_log.rewound")} == {"perennial.buffer-feedback"}
            assert logged(copy, "event_log.gap") == []
        finally:
            assert copy.stop() == 0
    finally:
        broker.kill()
