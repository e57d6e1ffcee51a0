"""The daemon's Prometheus metrics, fed from returned outcomes; the serving process has its own in `serving/metrics.py`."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

from config.addresses import is_loopback
from config.errors import UserError
from config.files.durable import free_bytes
from config.settings import Settings
from consumers.defence.standings import STANDINGS
from consumers.log.protocols import TopicPartition
from daemon.process.readiness import Readiness
from daemon.process.side_task import SideTask
from daemon.telemetry import http as telemetry_http
from registry.runs import Outcomes, Run
from trainers.job.spec import Progress

if TYPE_CHECKING:  # the first two import LanceDB, which a reader of metrics need not wait for
    from wsgiref.simple_server import WSGIServer

    from consumers.defence.views import Defence
    from consumers.enrichment.enrich import EnrichOutcome
    from consumers.ingest import IngestOutcome

log = structlog.get_logger(__name__)

DEFAULT_PORT = 9464
"""Of `config/defaults.toml`."""
_MIB = 1 << 20
_RUN_S = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400)
_FINISHED = frozenset({"decided", "failed"})
_VERDICTS = (("failed", ""), ("decided", "promote"), ("decided", "keep"), ("decided", "insufficient_evidence"))
_TEXT_TABLES = ("articles", "examples")


class DaemonMetrics:
    """Counters and gauges of the daemon, in a registry of their own. Thread-safe."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._server: WSGIServer | None = None
        self.readiness = Readiness()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        registry = self.registry
        self._leader = Gauge("perennial_leader", "1: this daemon leads; 0: it stands by.", registry=registry)
        self._events = Counter(
            "perennial_events", "Events read from the log, by outcome.", ["topic", "outcome"], registry=registry
        )
        self._lag = Gauge("perennial_ingest_lag_events", "Events that wait in the log.", ["topic"], registry=registry)
        self._answered = Gauge(
            "perennial_log_last_answer_timestamp_seconds",
            "When the log last answered (or the daemon began to lead), in seconds since 1970.", ["topic"], registry=registry,
        )  # fmt: skip
        self._newest_event = Gauge(
            "perennial_ingest_last_event_timestamp_seconds",
            "When the log had taken the newest event that is ingested (or the daemon began to lead), in seconds since 1970.",
            ["topic"], registry=registry,
        )  # fmt: skip
        self._missing = Counter(
            "perennial_log_missing_events", "ALARM when it grows: events removed from the log unread.", ["topic"],
            registry=registry,
        )  # fmt: skip
        self._paused = Gauge(
            "perennial_ingest_paused", "ALARM when 1: ingest is paused; the log says why.", ["topic"], registry=registry
        )
        self._disk_free = Gauge("perennial_disk_free_bytes", "Free space on the disk of the data folder.", registry=registry)
        self._disk_needed = Gauge(
            "perennial_disk_min_free_bytes", "Ingest pauses while less space than this is free.", registry=registry
        )
        self._enriched = Counter("perennial_enriched_rows", "Rows enriched.", ["table"], registry=registry)
        self._unenriched_age = Gauge(
            "perennial_unenriched_oldest_age_seconds", "Age of the oldest stored text that waits for enrichment; 0 for none.",
            ["table"], registry=registry,
        )  # fmt: skip
        self._notices = Counter(
            "perennial_notifications", "Notifications, by what became of them.", ["channel", "fate"], registry=registry
        )
        self._joined = Counter("perennial_feedback_resolved", "Waiting feedback that found its text.", registry=registry)
        self._examples = Gauge(
            "perennial_examples", "Examples: new since the last run, or all for training.", ["task", "which"], registry=registry
        )
        self._erasures = Gauge("perennial_erasures_open", "Erasures that are not done.", registry=registry)
        self._late_erasures = Gauge(
            "perennial_erasures_late", "ALARM when above 0: erasures past erasure.limit_hours.", registry=registry
        )
        self._flip_alarms = Gauge(
            "perennial_label_flip_alarms",
            "ALARM when above 0: open label-flip alarms; corrections wait for a person.",
            ["task"],
            registry=registry,
        )
        self._feedback = Gauge(
            "perennial_feedback_examples",
            "Judged feedback, by standing.",
            ["task", "standing"],
            registry=registry,
        )
        self._runs = Counter(
            "perennial_runs", "Ended runs, by state and verdict.", ["task", "state", "verdict"], registry=registry
        )
        self._run_s = Histogram(
            "perennial_run_seconds", "Time from start to end of a run.", ["task"], buckets=_RUN_S, registry=registry
        )
        self._run_ended_at = Gauge(
            "perennial_run_last_end_timestamp_seconds", "When the last run ended, in seconds since 1970; 0 before the first.",
            ["task"], registry=registry,
        )  # fmt: skip
        self._run_decided_at = Gauge(
            "perennial_run_last_decided_timestamp_seconds",
            "When the last verdict was reached, in seconds since 1970; 0 before the first.", ["task"], registry=registry,
        )  # fmt: skip
        self._failed_in_a_row = Gauge(
            "perennial_runs_failed_in_a_row", "Runs that failed since the last verdict.", ["task"], registry=registry
        )
        self._generation = Gauge(
            "perennial_champion_generation", "How often the champion has moved; 0 before the first.", ["task"], registry=registry
        )
        self._task_paused = Gauge(
            "perennial_task_paused", "1: a person has paused the task; it starts no run and promotes nothing.", ["task"],
            registry=registry,
        )  # fmt: skip
        self._score = Gauge("perennial_run_score", "Scores of the last comparison.", ["task", "side"], registry=registry)
        self._progress = Gauge("perennial_training_progress", "Share of the present run's steps done, 0..1.", registry=registry)
        self._speed = Gauge("perennial_training_examples_per_second", "Speed of the present run.", registry=registry)
        self._step_at = Gauge(
            "perennial_side_task_last_success_timestamp_seconds",
            "When a step of the side task last succeeded, in seconds since 1970.", ["side_task"], registry=registry,
        )  # fmt: skip
        self._outbox = Gauge("perennial_outbox_pending", "Outgoing events that are not published yet.", registry=registry)
        self._dead_letters = Gauge(
            "perennial_dead_letters", "Dead letters that are neither replayed nor dropped.", registry=registry
        )
        self._backup_at = Gauge(
            "perennial_backup_last_timestamp_seconds", "When the last backup was complete, in seconds since 1970; 0: never.",
            registry=registry,
        )  # fmt: skip

        self._of_tasks = (
            self._examples, self._flip_alarms, self._feedback, self._runs, self._run_s, self._run_ended_at, self._run_decided_at,
            self._failed_in_a_row, self._generation, self._score, self._task_paused,
        )  # fmt: skip

    def leads(self, *, now: bool) -> None:
        """Show whether this daemon leads or stands by."""
        self._leader.set(now)

    def watch_topic(self, topic: str) -> None:
        """Show a topic from the start: Prometheus sees no rise in a series that did not exist before."""
        for outcome in ("inserted", "duplicate", "dead_letter"):
            self._events.labels(topic, outcome)
        self._missing.labels(topic)
        self._paused.labels(topic).set(0)
        self._answered.labels(topic).set_to_current_time()
        self._newest_event.labels(topic).set_to_current_time()

    def watch_side_task(self, side_task: SideTask) -> None:
        """Show, at each scrape, when a step of the side task last ended well."""
        self._step_at.labels(side_task.name).set_function(lambda: side_task.succeeded_at)

    def ingested(self, topic: str, outcome: IngestOutcome) -> None:
        """Count one step of ingest."""
        self._events.labels(topic, "inserted").inc(outcome.inserted)
        self._events.labels(topic, "duplicate").inc(outcome.duplicates)
        self._events.labels(topic, "dead_letter").inc(outcome.dead)
        self._events.labels(topic, "erased").inc(outcome.erased)
        self._missing.labels(topic).inc(outcome.missing)
        self._paused.labels(topic).set(outcome.paused is not None)
        self.readiness.ingest_paused(topic, outcome.paused)
        if outcome.newest_logged_at is not None:
            self._newest_event.labels(topic).set(outcome.newest_logged_at.timestamp())

    def log_answered(self, topic: str, lag: Mapping[TopicPartition, int]) -> None:
        """Show how many events wait, and that the log answered just now."""
        self._answered.labels(topic).set_to_current_time()
        self._lag.labels(topic).set(sum(waiting for part, waiting in lag.items() if part.topic == topic))

    def enriched(self, outcome: EnrichOutcome) -> None:
        """Count one step of enrichment."""
        self._joined.inc(outcome.resolved)
        self._enriched.labels("articles").inc(outcome.articles)
        self._enriched.labels("examples").inc(outcome.examples)
        for table in _TEXT_TABLES:
            since = outcome.waiting_since.get(table)
            # At each scrape: should no step end any more, the age must still grow.
            self._unenriched_age.labels(table).set_function(_age_of(since))

    def notified(self, channel: str, fate: str) -> None:
        """Count a notification."""
        self._notices.labels(channel, fate).inc()

    def counted(self, task: str, *, new: int, train: int) -> None:
        """Show the examples that the trigger policy saw of a task."""
        self._examples.labels(task, "new").set(new)
        self._examples.labels(task, "train").set(train)

    def erasures(self, unfinished: int, late: int) -> None:
        """Show how many erasures wait, and how many of them for too long."""
        self._erasures.set(unfinished)
        self._late_erasures.set(late)

    def defended(self, task: str, found: Defence) -> None:
        """Show where the feedback of a task stands."""
        self._flip_alarms.labels(task).set(len(found.alarms))
        for standing in STANDINGS:
            self._feedback.labels(task, standing).set(found.standings.get(standing, 0))

    def progress(self, progress: Progress) -> None:
        """Show how far the present run is."""
        self._progress.set(progress.step / progress.steps if progress.steps else 0.0)
        self._speed.set(progress.examples_per_s or 0.0)

    def run_ended(self, run: Run) -> None:
        """Count a run that is decided or failed; one that was only stopped continues later and is not counted."""
        if run.state not in _FINISHED:
            return
        self._runs.labels(run.task, run.state, run.verdict or "").inc()
        if run.started_at is not None and run.finished_at is not None:
            self._run_s.labels(run.task).observe((run.finished_at - run.started_at).total_seconds())
        comparison = run.comparison or {}
        for side in ("champion", "candidate") if comparison else ():
            self._score.labels(run.task, side).set(comparison[f"{side}_score"])

    def task_observed(self, task: str, outcomes: Outcomes, generation: int, *, paused: bool) -> None:
        """Show how the runs of a task have ended, how often its champion has moved, and whether it is paused."""
        self._task_paused.labels(task).set(paused)
        for state, verdict in _VERDICTS:
            self._runs.labels(task, state, verdict)
        self._run_ended_at.labels(task).set(_seconds(outcomes.last_ended_at))
        self._run_decided_at.labels(task).set(_seconds(outcomes.last_decided_at))
        self._failed_in_a_row.labels(task).set(outcomes.failed_in_a_row)
        self._generation.labels(task).set(generation)

    def keep_only(self, tasks: Collection[str]) -> None:
        """Show nothing of any other task, whoever showed it: the last figures of one that is gone would raise alarms for ever."""
        for metric in self._of_tasks:
            shown = {sample.labels["task"] for family in metric.collect() for sample in family.samples}
            for task in shown.difference(tasks):
                metric.remove_by_labels({"task": task})

    def observed(self, *, outbox_pending: int, dead_letters: int, last_backup_at: datetime | None) -> None:
        """Show what was counted in the files."""
        self._outbox.set(outbox_pending)
        self._dead_letters.set(dead_letters)
        self._backup_at.set(_seconds(last_backup_at))

    def show(self, settings: Settings) -> None:
        """Expose the metrics where the settings say, of a standby too: an alarm over a missing leader asks all daemons.

        Raises `UserError` when the address cannot be had.
        """
        self.leads(now=False)
        self._disk_free.set_function(lambda: free_bytes(settings.data_dir))
        self._disk_needed.set(settings.ingest.min_free_disk_mib * _MIB)
        if settings.telemetry.port < 0:
            return
        address = self.serve(settings.telemetry.host, settings.telemetry.port)
        log.info("daemon.metrics", address=address)
        if not is_loopback(settings.telemetry.host, setting="telemetry.host"):
            log.warning(
                "daemon.metrics_open", host=settings.telemetry.host,
                reason="anyone who reaches this port can read names of tasks and versions, counts and times without a token",
                next="let only the monitoring network reach it",
            )  # fmt: skip

    def serve(self, host: str, port: int) -> str:
        """Expose the metrics (port 0: a free one) and return the address. Raises `UserError` when it cannot be had.

        Where another process has the default port a free one is taken: a second daemon on a machine must not need settings.
        """
        try:
            self._server, address = telemetry_http.serve(host, port, self.registry, self.readiness.look)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and port == DEFAULT_PORT:
                log.warning(
                    "daemon.metrics_port_taken", port=port, reason="another process listens there",
                    next="a free port is taken, which Prometheus does not know; to choose one set telemetry.port",
                )  # fmt: skip
                return self.serve(host, 0)
            message = (
                f"the daemon's metrics cannot listen on {host} port {port}: {error.strerror}; set telemetry.port to 0 or -1, or "
                "telemetry.host to an address of this machine"
            )
            raise UserError(message) from None
        return f"{address}/metrics"

    def close(self) -> None:
        """Stop exposing them."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def _age_of(since: datetime | None) -> Callable[[], float]:
    return lambda: max(0.0, time.time() - since.timestamp()) if since is not None else 0.0


def _seconds(moment: datetime | None) -> float:
    return moment.timestamp() if moment is not None else 0.0
