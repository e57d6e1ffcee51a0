"""The daemon's metrics: fed from outcomes, exposed on loopback."""

from __future__ import annotations

import urllib.request
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from config.errors import UserError
from consumers.source import TopicPartition
from daemon.telemetry import DaemonMetrics
from trainers.job_spec import Progress

TOPIC = "perennial.articles"


@pytest.fixture
def metrics() -> DaemonMetrics:
    return DaemonMetrics()


def value(metrics: DaemonMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_ingest_outcomes_are_counted_and_a_pause_is_an_alarm(metrics: DaemonMetrics) -> None:
    outcome = SimpleNamespace(inserted=5, duplicates=2, dead=1, erased=3, paused=None)
    metrics.ingested(TOPIC, outcome, {TopicPartition(TOPIC, 0): 7, TopicPartition("other", 0): 100})
    paused = SimpleNamespace(inserted=1, duplicates=0, dead=0, erased=0, paused="disk")
    metrics.ingested(TOPIC, paused, {TopicPartition(TOPIC, 0): 6})
    assert value(metrics, "perennial_events_total", topic=TOPIC, outcome="inserted") == 6
    assert value(metrics, "perennial_events_total", topic=TOPIC, outcome="dead_letter") == 1
    assert value(metrics, "perennial_events_total", topic=TOPIC, outcome="erased") == 3
    assert value(metrics, "perennial_ingest_lag_events", topic=TOPIC) == 6
    assert value(metrics, "perennial_ingest_paused", topic=TOPIC) == 1


def test_enrichment_and_evidence(metrics: DaemonMetrics) -> None:
    metrics.enriched(SimpleNamespace(resolved=1, articles=2, examples=3))
    metrics.counted("topics", SimpleNamespace(new_examples=40, train_examples=400))
    assert value(metrics, "perennial_enriched_rows_total", table="examples") == 3
    assert value(metrics, "perennial_examples", task="topics", which="new") == 40


def test_progress_and_the_end_of_runs(metrics: DaemonMetrics) -> None:
    metrics.progress(Progress(run_id="r", at="now", phase="training", step=5, steps=20, examples_per_s=9.0))
    assert value(metrics, "perennial_training_progress") == 0.25
    started = datetime(2026, 5, 1, tzinfo=UTC)
    run = SimpleNamespace(
        task="topics", state="decided", verdict="promote", started_at=started, finished_at=started + timedelta(seconds=45),
        comparison={"champion_score": 0.4, "candidate_score": 0.6},
    )  # fmt: skip
    metrics.run_ended(run)
    metrics.run_ended(SimpleNamespace(task="topics", state="training"))
    assert value(metrics, "perennial_runs_total", task="topics", state="decided", verdict="promote") == 1
    assert value(metrics, "perennial_run_seconds_sum", task="topics") == 45
    assert value(metrics, "perennial_run_score", task="topics", side="candidate") == 0.6


def test_a_free_port_is_taken_and_a_taken_one_is_explained(metrics: DaemonMetrics) -> None:
    address = metrics.serve(0)
    assert address.startswith("http://127.0.0.1:")
    assert b"perennial_ingest_paused" in urllib.request.urlopen(address, timeout=10).read()  # noqa: S310 - our own address
    port = int(address.split(":")[2].split("/")[0])
    with pytest.raises(UserError, match=r"telemetry\.port"):
        DaemonMetrics().serve(port)
