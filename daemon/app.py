"""Wires the whole daemon: ingest, enrichment, cycle, serving child; a dead side task stops it loudly."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from datetime import timedelta

import structlog
from consumers.enrich import Enricher

from config.clock import utc_now
from config.errors import StopError
from config.settings import Settings
from config.tasks import load_tasks
from consumers.buffer import Buffer
from consumers.dead_letters import DeadLetters
from consumers.embedded import EmbeddedLog
from consumers.ingest import Ingest
from daemon import evidence, outbox, telemetry, triggers
from daemon.cycle import Cycle
from daemon.groups import CONSUMERS
from daemon.runner import Runner
from daemon.scheduler import Scheduler
from daemon.side_task import SideTask
from daemon.supervision import ServingChild
from registry.artifacts import Artifacts
from registry.store import Registry

_JOIN_S = 30.0
_STANDBY_LOOK_S = 1.0

log = structlog.get_logger(__name__)


class Daemon:
    """The leader's process. `run` returns the exit code: 0 after a signal, 1 when a side task died."""

    def __init__(self, settings: Settings, *, serve: bool = True) -> None:
        self._settings = settings
        self._serve = serve
        self._stop = threading.Event()
        self._wake_cycle = threading.Event()
        self._tasks = load_tasks(settings.tasks_folder)

    def stop(self) -> None:
        """Ask everything to end; safe from a signal handler and from any thread."""
        self._stop.set()
        self._wake_cycle.set()

    def run(self) -> int:
        """Run until stopped. Raises `StopError` when the data cannot be used safely."""
        settings = self._settings
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        holder = f"{socket.gethostname()}:{os.getpid()}"
        with contextlib.ExitStack() as stack:
            registry = Registry.open(settings.registry_url)
            stack.callback(registry.close)
            token = self._become_leader(registry, holder)
            if token is None:
                return 0
            stack.callback(registry.lease.release, holder, token)
            side_tasks = self._wire(stack, registry, holder, token)
            for side_task in side_tasks:
                side_task.start()
            log.info("daemon.started", data_dir=str(settings.data_dir), tasks=sorted(self._tasks), leader=holder)
            self._stop.wait()
            self._wake_cycle.set()
            log.info("daemon.stopping")
            still_up = [side_task.name for side_task in side_tasks if not side_task.join(_JOIN_S)]
            if still_up:
                log.error("daemon.slow_stop", side_tasks=still_up, next="they are abandoned; uncommitted events come again")
        failed = [side_task.name for side_task in side_tasks if side_task.failure is not None]
        log.info("daemon.stopped", failed=failed)
        return 1 if failed or still_up else 0

    def _become_leader(self, registry: Registry, holder: str) -> int | None:
        """Wait for the lease; None when asked to stop while standing by."""
        waiting = False
        while not self._stop.is_set():
            token = registry.lease.acquire(holder, self._settings.registry.lease_s)
            if token is not None:
                return token
            if not waiting:
                log.info("daemon.standby", leader=registry.lease.holder(), next="it takes over when the leader's lease runs out")
                waiting = True
            self._stop.wait(_STANDBY_LOOK_S)
        return None

    def _wire(self, stack: contextlib.ExitStack, registry: Registry, holder: str, token: int) -> list[SideTask]:
        settings = self._settings
        event_log = EmbeddedLog(settings.event_log_file, retention=timedelta(days=settings.events.retention_days))
        stack.callback(event_log.close)
        dead_letters = DeadLetters(settings.dead_letter_file)
        stack.callback(dead_letters.close)
        buffer = Buffer.open(settings.buffer_dir, settings.buffer, tasks=self._tasks, min_quality=settings.enrich.min_quality)
        stack.callback(buffer.close)
        for repair in buffer.repairs:
            log.warning("buffer.repaired", repair=repair)
        artifacts = Artifacts(settings.artifacts_dir)
        artifacts.sweep_temporary()
        metrics = telemetry.DaemonMetrics()
        if settings.telemetry.port >= 0:
            address = metrics.serve(settings.telemetry.port)
            log.info("daemon.metrics", address=address)
        side_tasks = [
            self._ingest(stack, group, topic, event_log=event_log, buffer=buffer, dead_letters=dead_letters, metrics=metrics)
            for group, topic in CONSUMERS.items()
        ]
        enricher = Enricher(buffer, settings.enrich)
        cycle = Cycle(
            settings=settings,
            tasks=lambda: self._tasks,
            registry=registry,
            buffer=buffer,
            artifacts=artifacts,
            runner=Runner(settings.training, self._stop),
            fencing_token=token,
            report=metrics.progress,
        )
        publisher = outbox.Publisher(registry, event_log.sink())
        scheduler = Scheduler(
            settings.schedule,
            wake_cycle=self._wake_cycle,
            housekeep=lambda: self._housekeep(buffer, event_log),
        )
        scheduler.start()
        stack.callback(scheduler.stop)

        def enrich() -> float:
            outcome = enricher.step()
            metrics.enriched(outcome)
            return 0.0 if outcome.articles or outcome.examples or outcome.resolved else settings.enrich.interval_s

        side_tasks += [
            SideTask("enrich", enrich, self._stop),
            SideTask("cycle", lambda: self._look(cycle, registry, buffer, metrics), self._stop),
            SideTask("outbox", publisher.step, self._stop),
            SideTask("lease", lambda: self._renew(registry, holder, token), self._stop),
        ]
        if self._serve:
            child = ServingChild(settings)
            stack.callback(child.stop)
            side_tasks.append(SideTask("serving", child.step, self._stop))
        return side_tasks

    def _ingest(
        self,
        stack: contextlib.ExitStack,
        group: str,
        topic: str,
        *,
        event_log: EmbeddedLog,
        buffer: Buffer,
        dead_letters: DeadLetters,
        metrics: telemetry.DaemonMetrics,
    ) -> SideTask:
        lost = {part: offset for part, offset in buffer.rewind.items() if part.topic == topic}
        if lost:
            event_log.rewind(group, lost)
        source = event_log.source(group, [topic])
        stack.callback(source.close)
        ingest = Ingest(
            source,
            buffer,
            dead_letters,
            tasks=lambda: self._tasks,
            settings=self._settings.ingest,
            data_dir=self._settings.data_dir,
        )
        paused: list[str] = []

        def step() -> float:
            outcome = ingest.step()
            metrics.ingested(topic, outcome, source.lag())
            if outcome.paused:
                if not paused:
                    log.error("ingest.paused", topic=topic, reason=outcome.paused)
                paused[:] = [outcome.paused]
                return self._settings.ingest.poll_timeout_s
            if paused:
                log.info("ingest.resumed", topic=topic)
                paused.clear()
            return 0.0

        return SideTask(f"ingest {topic}", step, self._stop)

    def _look(self, cycle: Cycle, registry: Registry, buffer: Buffer, metrics: telemetry.DaemonMetrics) -> float:
        """Finish what an earlier process left, then see for each task whether a run is due."""
        self._wake_cycle.clear()
        for run in registry.runs.unfinished():
            if not self._stop.is_set():
                metrics.run_ended(cycle.advance(run))
        for name, task in self._tasks.items():
            if self._stop.is_set():
                break
            found = evidence.gather(name, registry, buffer)
            trigger = triggers.look(task, found, self._settings.schedule, utc_now()).trigger
            metrics.counted(name, found)
            if trigger is not None and (started := cycle.start(name, trigger)) is not None:
                metrics.run_ended(cycle.advance(started))
        self._wake_cycle.wait(self._settings.schedule.check_interval_s)
        return 0.0

    def _renew(self, registry: Registry, holder: str, token: int) -> float:
        if not registry.lease.renew(holder, token, self._settings.registry.lease_s):
            message = f"the leader's lease was taken over by {registry.lease.holder()}; this daemon stops so that two never write"
            raise StopError(message)
        return self._settings.registry.lease_s / 3

    def _housekeep(self, buffer: Buffer, event_log: EmbeddedLog) -> None:
        if self._settings.buffer.retention_days:
            buffer.enforce_retention()
        removed = event_log.enforce_retention()
        log.info("daemon.housekeeping", events_removed=removed)


def run(settings: Settings, *, serve: bool = True) -> int:
    """Run the daemon in this process until SIGTERM or SIGINT; return its exit code."""
    daemon = Daemon(settings, serve=serve)

    def stop(_number: int, _frame: object) -> None:
        daemon.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return daemon.run()
