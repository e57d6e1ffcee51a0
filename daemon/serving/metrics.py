"""The serving process's Prometheus metrics, fed from returned outcomes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daemon.serving.models.slot import Refreshed, SlotStatus

# A second series per counter that says when the process began would tell nothing new.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types here
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STREAM = b"text/event-stream"
_TEXTS = (1, 2, 4, 8, 16, 32)


class ServingMetrics:
    """Counters and gauges of one process, in its own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        registry = self.registry
        self._requests = Counter("perennial_http_requests", "Requests answered.", ["path", "status"], registry=registry)
        self._request_s = Histogram(
            "perennial_http_request_seconds", "Time to answer a request.", ["path"], buckets=_SECONDS, registry=registry
        )
        self.in_flight = Gauge("perennial_http_requests_in_flight", "Requests taken and not answered yet.", registry=registry)
        self._predictions = Counter("perennial_predictions", "Texts answered.", ["task", "version"], registry=registry)
        self._batch_texts = Histogram(
            "perennial_batch_texts", "Texts per call to a model.", ["task"], buckets=_TEXTS, registry=registry
        )
        self._unlogged = Counter(
            "perennial_predictions_unlogged", "Answered predictions the event log never got.", registry=registry
        )
        self._feedback = Counter(
            "perennial_feedback", "Feedback by what became of the request.", ["task", "outcome"], registry=registry
        )
        self._turned_away = Counter(
            "perennial_http_turned_away", "Requests refused before they were read, by reason.", ["reason"], registry=registry
        )
        self._connections = Counter(
            "perennial_http_connections_ended", "Connections refused or ended, by reason: too_many, slow, malformed.", ["reason"],
            registry=registry,
        )  # fmt: skip
        self._swaps = Counter("perennial_model_swaps", "Champions loaded and swapped in.", ["task"], registry=registry)
        self._load_s = Gauge(
            "perennial_model_load_seconds", "Time to verify, load and warm the version served.", ["task"], registry=registry
        )
        self._serving = Gauge(
            "perennial_model_serving", "1 for the version that answers.", ["task", "version"], registry=registry
        )
        self._computes_by = Gauge(
            "perennial_model_computes_by",
            "1 for what the version that answers computes by: a variant of its encoder, or the precision of its weights.",
            ["task", "variant"],
            registry=registry,
        )
        self._load_failures = Counter(
            "perennial_model_load_failures", "Attempts to load a champion that failed.", ["task"], registry=registry
        )
        self._load_failing = Gauge(
            "perennial_model_load_failing",
            "ALARM when 1: the champion cannot be loaded, an older version answers.",
            ["task"],
            registry=registry,
        )
        self._unreadable = Gauge(
            "perennial_registry_unreadable", "ALARM when 1: the registry cannot be read.", ["task"], registry=registry
        )
        self._ready = Gauge(
            "perennial_task_ready", "1: a model answers, or the task has no champion; 0: its champion does not answer.", ["task"],
            registry=registry,
        )  # fmt: skip
        self._generation = Gauge(
            "perennial_model_generation", "Generation of the champion alias whose version answers.", ["task"], registry=registry
        )
        self._waiting_texts = Gauge("perennial_waiting_texts", "Texts that wait for a model.", ["task"], registry=registry)
        self._waiting_predictions = Gauge(
            "perennial_predictions_not_yet_logged", "Predictions on their way to the log.", registry=registry
        )
        self._corrected = Counter(
            "perennial_predictions_corrected", "Texts that a person's correction answered in the model's place.", ["task"],
            registry=registry,
        )  # fmt: skip
        self._corrections = Gauge(
            "perennial_corrections_in_force", "Texts for which a correction answers until a champion has learnt it.", ["task"],
            registry=registry,
        )  # fmt: skip
        self._count_corrections: Callable[[str], int] = lambda _task: 0
        self._versions: dict[str, str] = {}
        self._variants: dict[str, str] = {}

    def watch_task(self, task: str, status: Callable[[], SlotStatus]) -> None:
        """Create a task's series from the start, so that alerts can use them; `status` is called at each scrape."""
        self._load_failures.labels(task)
        self._load_failing.labels(task).set(0)
        self._unreadable.labels(task).set(0)
        self._swaps.labels(task)
        self._waiting_texts.labels(task).set_function(lambda: status().waiting_texts)
        self._ready.labels(task).set_function(lambda: status().ready)
        self._corrections.labels(task).set_function(lambda: self._count_corrections(task))

    def forget_task(self, task: str) -> None:
        """Show nothing more of a task that was dropped: its last figures would raise alarms for ever."""
        for metric in (
            self._swaps, self._load_s, self._load_failures, self._load_failing, self._unreadable, self._ready, self._generation,
            self._waiting_texts, self._serving, self._computes_by, self._predictions, self._batch_texts, self._feedback,
            self._corrected, self._corrections,
        ):  # fmt: skip
            metric.remove_by_labels({"task": task})
        self._versions.pop(task, None)
        self._variants.pop(task, None)

    def watch_prediction_log(self, waiting: Callable[[], int]) -> None:
        """Ask `waiting` at each scrape for the predictions that are not in the log yet."""
        self._waiting_predictions.set_function(waiting)

    def refreshed(self, task: str, outcome: Refreshed) -> None:
        """Count one check of an alias by its slot."""
        self._unreadable.labels(task).set(outcome.kind == "unreadable")
        if outcome.kind == "failed":
            self._load_failures.labels(task).inc()
            self._load_failing.labels(task).set(1)
        elif outcome.kind in ("unchanged", "swapped"):
            self._load_failing.labels(task).set(0)
        if outcome.generation is not None:
            self._generation.labels(task).set(outcome.generation)
        if outcome.kind == "swapped" and outcome.version is not None:
            self._swaps.labels(task).inc()
            self._load_s.labels(task).set(outcome.load_s)
            if task in self._versions:
                self._serving.remove(task, self._versions[task])
            self._forget_versions(task, {outcome.version, self._versions.get(task)})
            self._serving.labels(task, outcome.version).set(1)
            self._versions[task] = outcome.version
            if task in self._variants:
                self._computes_by.remove(task, self._variants.pop(task))
            if outcome.used is not None:
                self._variants[task] = outcome.used.name
                self._computes_by.labels(task, outcome.used.name).set(1)

    def _forget_versions(self, task: str, but: Collection[str | None]) -> None:
        """Forget what versions answered that answer no more; the last one may still do, and its end is not scraped yet."""
        shown = {
            sample.labels["version"]
            for family in self._predictions.collect()
            for sample in family.samples
            if sample.labels["task"] == task
        }
        for version in shown - set(but):
            self._predictions.remove_by_labels({"task": task, "version": version})

    def watch_corrections(self, count: Callable[[str], int]) -> None:
        """Ask `count` at each scrape for how many texts of a task a correction answers."""
        self._count_corrections = count

    def answered(self, task: str, version: str, texts: int, *, corrected: int = 0) -> None:
        """Count one answered predict request; `corrected` of its texts were not answered by the version."""
        self._predictions.labels(task, version).inc(texts - corrected)
        if corrected:
            self._corrected.labels(task).inc(corrected)

    def batch(self, task: str, texts: int) -> None:
        """Count one call to a model."""
        self._batch_texts.labels(task).observe(texts)

    def unlogged(self, count: int) -> None:
        """Count predictions that the log never got."""
        self._unlogged.inc(count)

    def feedback(self, task: str, outcome: str) -> None:
        """Count one feedback request."""
        self._feedback.labels(task, outcome).inc()

    def turned_away_connection(self, reason: str) -> None:
        """Count a connection that was refused or ended."""
        self._connections.labels(reason).inc()

    def turned_away(self, reason: str) -> None:
        """Count one request that access refused."""
        self._turned_away.labels(reason).inc()

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count one request; `path` is the route's template, so that strangers cannot make series."""
        self._requests.labels(path, str(status)).inc()
        self._request_s.labels(path).observe(seconds)

    def answered_within(self, path: str) -> list[tuple[float, float]]:
        """Return how many requests of a route took at most so many seconds, for rising limits; the last limit is infinite."""
        return [
            (float(sample.labels["le"]), sample.value)
            for family in self._request_s.collect()
            for sample in family.samples
            if sample.name.endswith("_bucket") and sample.labels["path"] == path
        ] or [(limit, 0.0) for limit in (*_SECONDS, math.inf)]

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)


class Measured:
    """Counts and times each request that passes."""

    def __init__(self, app: ASGIApp, *, metrics: ServingMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and time it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500
        streams = False

        async def watched(message: Message) -> None:
            nonlocal status, streams
            if message["type"] == "http.response.start":
                status = message["status"]
                streams = any(value.startswith(_STREAM) for name, value in message["headers"] if name == b"content-type")
                if streams:
                    count()
            await send(message)

        def count() -> None:
            self._metrics.in_flight.dec()
            path = getattr(scope.get("route"), "path", "other")
            self._metrics.request(path, status, time.perf_counter() - started)

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, watched)
        finally:
            # A stream was answered when it began: how long a page stays open says nothing of how quick answers are.
            if not streams:
                count()
