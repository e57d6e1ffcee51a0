"""The daemon's metrics: fed from outcomes, exposed on loopback."""

from __future__ import annotations

import socket
import time
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from config.errors import UserError
from config.settings import load_settings
from consumers.defence.views import Alarm, Defence
from consumers.enrichment.enrich import EnrichOutcome
from consumers.ingest import IngestOutcome
from consumers.log.protocols import TopicPartition
from daemon.serving.metrics import ServingMetrics
from daemon.serving.models.slot import Refreshed
from daemon.telemetry.metrics import DEFAULT_PORT, DaemonMetrics
from registry.runs import Outcomes
from trainers.job.spec import Progress

TOPIC = "perennial.articles"


@pytest.fixture
def metrics() -> DaemonMetrics:
    return DaemonMetrics()


def value(metrics: DaemonMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_ingest_outcomes_are_counted_and_a_pause_is_an_alarm(metrics: DaemonMetrics) -> None:
    logged_at = datetime(2026, 5, 1, tzinfo=UTC)
    metrics.ingested(TOPIC, IngestOutcome(8, inserted=5, duplicates=2, dead=1, erased=1, missing=3, newest_logged_at=logged_at))
    metrics.ingested(TOPIC, IngestOutcome(1, inserted=1, paused="disk"))
    assert value(metrics, "perennial_events_total", topic=TOPIC, outcome="inserted") == 6
    assert value(metrics, "perennial_events_total", topic=TOPIC, outcome="dead_letter") == 1
    assert value(metrics, "perennial_events_total", topic=TOPIC, outcome="erased") == 1
    assert value(metrics, "perennial_ingest_paused", topic=TOPIC) == 1
    assert value(metrics, "perennial_log_missing_events_total", topic=TOPIC) == 3
    assert value(metrics, "perennial_ingest_last_event_timestamp_seconds", topic=TOPIC) == logged_at.timestamp()


def test_the_lag_and_when_the_log_answered_last(metrics: DaemonMetrics) -> None:
    before = time.time()
    metrics.log_answered(TOPIC, {TopicPartition(TOPIC, 0): 6, TopicPartition(TOPIC, 1): 1, TopicPartition("other", 0): 100})
    assert value(metrics, "perennial_ingest_lag_events", topic=TOPIC) == 7
    assert before <= (value(metrics, "perennial_log_last_answer_timestamp_seconds", topic=TOPIC) or 0) <= time.time()


def test_enrichment_and_evidence(metrics: DaemonMetrics) -> None:
    waiting_since = {"examples": datetime.now(UTC) - timedelta(minutes=5)}
    metrics.enriched(EnrichOutcome(resolved=1, articles=2, examples=3, waiting_since=waiting_since))
    metrics.counted("topics", new=40, train=400)
    assert value(metrics, "perennial_enriched_rows_total", table="examples") == 3
    assert value(metrics, "perennial_examples", task="topics", which="new") == 40
    age_s = value(metrics, "perennial_unenriched_oldest_age_seconds", table="examples")
    assert age_s >= 300
    assert value(metrics, "perennial_unenriched_oldest_age_seconds", table="examples") > age_s, "it grows between steps too"
    metrics.enriched(EnrichOutcome())
    assert value(metrics, "perennial_unenriched_oldest_age_seconds", table="examples") == 0


def test_where_feedback_stands_and_the_alarm(metrics: DaemonMetrics) -> None:
    alarm = Alarm("a -> b", held=60, users=3, since=datetime(2026, 5, 1, tzinfo=UTC))
    metrics.defended("topics", Defence({"effective": 5, "alarm": 60}, (alarm,)))
    assert value(metrics, "perennial_label_flip_alarms", task="topics") == 1
    assert value(metrics, "perennial_feedback_examples", task="topics", standing="alarm") == 60
    metrics.defended("topics", Defence({"effective": 65}, ()))
    assert value(metrics, "perennial_label_flip_alarms", task="topics") == 0
    assert value(metrics, "perennial_feedback_examples", task="topics", standing="alarm") == 0


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
    address = metrics.serve("127.0.0.1", 0)
    assert address.startswith("http://127.0.0.1:")
    assert b"perennial_ingest_paused" in urllib.request.urlopen(address, timeout=10).read()  # noqa: S310 - our own address
    port = int(address.split(":")[2].split("/")[0])
    with pytest.raises(UserError, match=r"telemetry\.port"):
        DaemonMetrics().serve("127.0.0.1", port)
    with pytest.raises(UserError, match=r"telemetry\.host"):
        DaemonMetrics().serve("no-such-host.invalid", 0)
    metrics.close()


def test_alarms_have_series_before_anything_has_happened(metrics: DaemonMetrics) -> None:
    metrics.watch_topic(TOPIC)
    assert value(metrics, "perennial_events_total", topic=TOPIC, outcome="dead_letter") == 0
    assert value(metrics, "perennial_log_missing_events_total", topic=TOPIC) == 0
    for name in ("perennial_log_last_answer_timestamp_seconds", "perennial_ingest_last_event_timestamp_seconds"):
        assert time.time() - value(metrics, name, topic=TOPIC) < 60
    metrics.task_observed("topics", Outcomes(None, None, 0), 0, paused=False)
    assert value(metrics, "perennial_runs_total", task="topics", state="failed", verdict="") == 0


def test_what_is_observed_of_a_task_is_forgotten_with_it(metrics: DaemonMetrics) -> None:
    ended = datetime(2026, 5, 1, tzinfo=UTC)
    metrics.counted("topics", new=40, train=400)
    metrics.task_observed("topics", Outcomes(ended, None, failed_in_a_row=2), generation=7, paused=True)
    assert value(metrics, "perennial_run_last_end_timestamp_seconds", task="topics") == ended.timestamp()
    assert value(metrics, "perennial_run_last_decided_timestamp_seconds", task="topics") == 0
    assert value(metrics, "perennial_runs_failed_in_a_row", task="topics") == 2
    assert value(metrics, "perennial_champion_generation", task="topics") == 7
    metrics.keep_only(["entities"])
    gauges = [family for family in metrics.registry.collect() if family.type == "gauge"]
    assert not [sample for family in gauges for sample in family.samples if sample.labels.get("task") == "topics"]


def test_leader_or_standby_disk_and_side_tasks(metrics: DaemonMetrics, tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, telemetry={"port": -1}, ingest={"min_free_disk_mib": 3})
    metrics.show(settings)
    assert value(metrics, "perennial_leader") == 0
    metrics.leads(now=True)
    assert value(metrics, "perennial_leader") == 1
    assert value(metrics, "perennial_disk_min_free_bytes") == 3 << 20
    assert value(metrics, "perennial_disk_free_bytes") > 0
    metrics.watch_side_task(SimpleNamespace(name="enrich", succeeded_at=17.0))
    assert value(metrics, "perennial_side_task_last_success_timestamp_seconds", side_task="enrich") == 17


def test_metrics_that_other_machines_can_read_are_told(metrics: DaemonMetrics, tmp_path: Path) -> None:
    with capture_logs() as lines:
        metrics.show(load_settings(data_dir=tmp_path, telemetry={"host": "0.0.0.0", "port": 0}))  # noqa: S104 - what is tested
    metrics.close()
    assert [line["event"] for line in lines] == ["daemon.metrics", "daemon.metrics_open"]
    with capture_logs() as lines:
        metrics.show(load_settings(data_dir=tmp_path, telemetry={"host": "::1", "port": 0}))
    metrics.close()
    assert lines[0]["address"].startswith("http://[::1]:")
    assert len(lines) == 1


def test_serving_shows_nothing_of_a_dropped_task() -> None:
    metrics = ServingMetrics()
    metrics.watch_task("topics", lambda: SimpleNamespace(waiting_texts=1, ready=True))
    metrics.refreshed("topics", Refreshed("swapped", version="topics/v1", generation=1, load_s=0.5))
    metrics.answered("topics", "topics/v1", 3)
    metrics.batch("topics", 3)
    metrics.feedback("topics", "accepted")
    assert b"topics" in metrics.exposition()
    metrics.forget_task("topics")
    assert b"topics" not in metrics.exposition()
    metrics.forget_task("topics")


def test_the_default_port_is_the_one_that_is_scraped_and_a_second_daemon_takes_a_free_one(metrics: DaemonMetrics) -> None:
    scraped = (Path(__file__).parents[2] / "deploy" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    assert load_settings().telemetry.port == DEFAULT_PORT
    assert f":{DEFAULT_PORT}" in scraped
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Whoever has it, it is taken.
        with suppress(OSError):
            held.bind(("127.0.0.1", DEFAULT_PORT))
            held.listen()
        with capture_logs() as lines:
            address = metrics.serve("127.0.0.1", DEFAULT_PORT)
    assert f":{DEFAULT_PORT}/" not in address
    assert [line["event"] for line in lines] == ["daemon.metrics_port_taken"]


def test_versions_that_answer_no_more_leave_the_metrics() -> None:
    metrics = ServingMetrics()
    metrics.answered("b", "b/v1", 1)
    for number in range(1, 5):
        metrics.refreshed("a", Refreshed("swapped", f"a/v{number}", generation=number))
        # An answer that was under way comes after the swap.
        metrics.answered("a", f"a/v{max(1, number - 1)}", 1)
        metrics.answered("a", f"a/v{number}", 2)
    found = {
        sample.labels["version"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "perennial_predictions_total"
    }
    assert found == {"a/v3": 3, "a/v4": 2, "b/v1": 1}
