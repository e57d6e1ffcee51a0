"""The daemon's Prometheus metrics, fed from returned outcomes; the serving process has its own in `serving/metrics.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector, start_http_server

from config.errors import UserError
from consumers.defence.standings import STANDINGS
from consumers.source import TopicPartition
from daemon.triggers import Evidence
from registry.runs import Run
from trainers.job_spec import Progress

if TYPE_CHECKING:  # the first two import LanceDB, which a reader of metrics need not wait for
    from wsgiref.simple_server import WSGIServer

    from consumers.defence.views import Defence
    from consumers.enrich import EnrichOutcome
    from consumers.ingest import IngestOutcome

LOOPBACK = "127.0.0.1"
_RUN_S = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400)
_FINISHED = frozenset({"decided", "failed"})


class DaemonMetrics:
    """Counters and gauges of the daemon, in a registry of their own. Thread-safe."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._server: WSGIServer | None = None
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        registry = self.registry
        self._events = Counter(
            "perennial_events", "Events taken from the log, by what became of them.", ["topic", "outcome"], registry=registry
        )
        self._lag = Gauge("perennial_ingest_lag_events", "Events that wait in the log.", ["topic"], registry=registry)
        self._answered = Gauge(
            "perennial_log_last_answer_timestamp_seconds", "When the log last answered, in seconds since 1970.", ["topic"],
            registry=registry,
        )  # fmt: skip
        self._paused = Gauge(
            "perennial_ingest_paused", "ALARM when 1: ingest pauses, its log says why.", ["topic"], registry=registry
        )
        self._enriched = Counter("perennial_enriched_rows", "Rows enriched.", ["table"], registry=registry)
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
            "ALARM above 0: corrections are held until somebody decides.",
            ["task"],
            registry=registry,
        )
        self._feedback = Gauge(
            "perennial_feedback_examples",
            "Feedback that was judged, by where it stands.",
            ["task", "standing"],
            registry=registry,
        )
        self._runs = Counter(
            "perennial_runs", "Ended runs, by state and verdict.", ["task", "state", "verdict"], registry=registry
        )
        self._run_s = Histogram(
            "perennial_run_seconds", "Time from start to end of a run.", ["task"], buckets=_RUN_S, registry=registry
        )
        self._score = Gauge("perennial_run_score", "Scores of the last comparison, 0..1.", ["task", "side"], registry=registry)
        self._progress = Gauge("perennial_training_progress", "Share of the present run's steps done, 0..1.", registry=registry)
        self._speed = Gauge("perennial_training_examples_per_second", "Speed of the present run.", registry=registry)

    def ingested(self, topic: str, outcome: IngestOutcome) -> None:
        """Count one step of ingest."""
        self._events.labels(topic, "inserted").inc(outcome.inserted)
        self._events.labels(topic, "duplicate").inc(outcome.duplicates)
        self._events.labels(topic, "dead_letter").inc(outcome.dead)
        self._events.labels(topic, "erased").inc(outcome.erased)
        self._paused.labels(topic).set(outcome.paused is not None)

    def log_answered(self, topic: str, lag: Mapping[TopicPartition, int]) -> None:
        """Show how many events wait, and that the log answered just now."""
        self._answered.labels(topic).set_to_current_time()
        self._lag.labels(topic).set(sum(waiting for part, waiting in lag.items() if part.topic == topic))

    def enriched(self, outcome: EnrichOutcome) -> None:
        """Count one step of enrichment."""
        self._joined.inc(outcome.resolved)
        self._enriched.labels("articles").inc(outcome.articles)
        self._enriched.labels("examples").inc(outcome.examples)

    def counted(self, task: str, found: Evidence) -> None:
        """Show what the trigger policy saw of a task."""
        self._examples.labels(task, "new").set(found.new_examples)
        self._examples.labels(task, "train").set(found.train_examples)

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
        """Count a run that is decided or failed; one that was only stopped goes on later and is not counted."""
        if run.state not in _FINISHED:
            return
        self._runs.labels(run.task, run.state, run.verdict or "").inc()
        if run.started_at is not None and run.finished_at is not None:
            self._run_s.labels(run.task).observe((run.finished_at - run.started_at).total_seconds())
        comparison = run.comparison or {}
        for side in ("champion", "candidate") if comparison else ():
            self._score.labels(run.task, side).set(comparison[f"{side}_score"])

    def serve(self, port: int) -> str:
        """Expose the metrics on loopback (0: a free port) and return the address. Raises `UserError` when the port is taken."""
        try:
            self._server, _thread = start_http_server(port, addr=LOOPBACK, registry=self.registry)
        except OSError as error:
            message = (
                f"the daemon's metrics cannot have port {port} on {LOOPBACK}: {error.strerror}; set telemetry.port to 0 or -1"
            )
            raise UserError(message) from None
        return f"http://{LOOPBACK}:{self._server.server_port}/metrics"

    def close(self) -> None:
        """Stop exposing them."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
