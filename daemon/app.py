"""Wires the whole daemon: ingest, enrichment, cycle, serving child; a dead side task stops it loudly."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog

from config.addresses import apps_address
from config.clock import utc_now
from config.errors import UserError
from config.files import private
from config.settings import Settings
from config.tasks import TaskSpec
from consumers.buffer.writer import BufferWriter
from consumers.dead_letters.store import DeadLetters
from consumers.enrichment.enrich import Enricher
from consumers.enrichment.feature_store import FeatureStore
from consumers.erasure.requests import Erasures
from consumers.log.open import open_event_log
from daemon.flow import outbox
from daemon.flow.alarms import Alarms
from daemon.flow.corrections import CorrectionsTask
from daemon.flow.groups import CONSUMERS, LABELS_TOPIC
from daemon.flow.ingest_task import DEADLINE_S, STEP_LIMIT_S, IngestTask
from daemon.flow.sources import Sources
from daemon.mirroring.mirror import Mirror
from daemon.mirroring.open import mirrors_of
from daemon.notifications.notifier import Notifier
from daemon.notifications.open import channels_of
from daemon.process import leader, signals, task_files
from daemon.process.leadership import Leadership
from daemon.process.leading import Leading
from daemon.process.side_task import SideTask
from daemon.process.supervision import ServingChild
from daemon.process.systemd import Systemd
from daemon.telemetry import metrics as telemetry
from daemon.telemetry.gauges import Observer
from daemon.training.cycle import Cycle
from daemon.training.due.scheduler import Scheduler
from daemon.training.label_corrections import LabelCorrectionsTask
from daemon.training.preparing.features import Features
from daemon.training.preparing.held_out import Shares
from daemon.training.runners.open import open_runner
from daemon.training.sandbox.local import LocalSandbox
from daemon.upkeep.asked import Asked
from daemon.upkeep.erasure.worker import Eraser
from daemon.upkeep.housekeeping import Housekeeping
from registry.artifacts.open import open_store
from registry.judging import reach
from registry.store import Registry

SIDE_TASKS_LIMIT_S = 30.0
"""Beside `training.stop_grace_s`, how long a stop waits for the side tasks before it abandons them."""
STOP_LIMIT_S = 50.0
"""Beside `training.stop_grace_s`, how long the process has to end after SIGTERM, whatever hangs: see docs/operations.md."""
_HOUR_S = 3600.0
_WATCH_S = 1.0

log = structlog.get_logger(__name__)


class Daemon:
    """The leader's process. `run` returns the exit code: 0 after a signal, 1 when a side task died or hung."""

    def __init__(self, settings: Settings, *, serve: bool = True) -> None:
        self._settings = settings
        self._serve = serve
        self._stop = threading.Event()
        self._asked_to_stop = False
        self._wake_cycle = threading.Event()
        self._reload = threading.Event()
        self._tasks: Mapping[str, TaskSpec] = task_files.loaded(settings.tasks_folder)
        self._metrics = telemetry.DaemonMetrics()
        self._systemd = Systemd()
        self._child: ServingChild | None = None
        self._registry: Registry | None = None

    def stop(self) -> None:
        """Ask everything to end; from any thread."""
        self._asked_to_stop = True
        self._stop.set()
        self._wake_cycle.set()

    def reload(self) -> None:
        """Ask for the task files to be reloaded; from any thread. It is done within a second or so."""
        self._reload.set()

    def run(self) -> int:
        """Run until stopped. Raises `StopError` when the data cannot be used safely."""
        private.prepare(self._settings.data_dir)
        if restricted := private.restrict(self._settings.data_dir):
            log.warning(
                "daemon.data_folder_was_open", data_dir=str(self._settings.data_dir), restricted=restricted,
                reason="other users could read or write it", next="only its owner can now",
            )  # fmt: skip
        with contextlib.ExitStack() as outer:
            registry = Registry.open(self._settings.registry_url, apps_at=apps_address(self._settings.serving))
            outer.callback(registry.close)
            another = leader.announce_another(registry, self._settings.data_dir)
            try:
                self._metrics.show(self._settings)
            except UserError as error:
                # What that one holds, its port for instance, this one cannot have.
                raise UserError(f"{another} ({error})" if another else str(error)) from None
            outer.callback(self._metrics.close)
            leadership = Leadership(
                self._settings, registry, self._stop, meanwhile=self._look_after_itself, stands_by=self._stands_by
            )
            token = leadership.acquire()
            if token is None:
                return 0
            self._metrics.leads(now=True)
            outer.callback(registry.lease.release, leadership.holder, token)
            lease = leadership.keep(token, outer)
            with contextlib.ExitStack() as inner:
                erasures = Erasures(self._settings.data_dir)
                inner.callback(erasures.close)
                patience_s = self._settings.registry.lease_s + self._settings.training.stop_grace_s + SIDE_TASKS_LIMIT_S
                buffer = leadership.open_buffer(erasures, token, tasks=lambda: self._tasks, patience_s=patience_s)
                if buffer is None:
                    return 1 if lease.failure else 0
                inner.callback(buffer.close)
                side_tasks = self._wire(inner, registry, buffer, erasures, token)
                if self._serve:
                    self._child = ServingChild(self._settings, self._stop)
                    outer.callback(self._part_from, self._child)
                    side_tasks.append(
                        SideTask("serving", self._child.step, self._stop, step_limit_s=2 * STEP_LIMIT_S, deadline_s=STEP_LIMIT_S)
                    )
                for side_task in side_tasks:
                    self._metrics.watch_side_task(side_task)
                    side_task.start()
                self._metrics.readiness.leads([lease, *side_tasks])
                log.info(
                    "daemon.started", data_dir=str(self._settings.data_dir), tasks=sorted(self._tasks), leader=leadership.holder
                )
                self._systemd.ready("leading")
                while not self._stop.wait(_WATCH_S):
                    for side_task in side_tasks:
                        side_task.check_progress()
                    self._reload_if_asked(buffer)
                    self._systemd.alive()
                log.info("daemon.stopping")
                self._systemd.stopping()
                self._wake_cycle.set()
                still_up = self._join(side_tasks)
                if still_up:
                    # What a hung thread holds cannot be closed under it; the end of the process frees it.
                    inner.pop_all()
        failed = [side_task.name for side_task in (lease, *side_tasks) if side_task.failure is not None]
        log.info("daemon.stopped", failed=failed)
        return 1 if failed or still_up else 0

    def _look_after_itself(self) -> None:
        """What runs while it waits to lead."""
        self._reload_if_asked()
        self._systemd.alive()

    def _stands_by(self) -> None:
        self._systemd.ready("standing by")
        self._metrics.readiness.stands_by()

    def _part_from(self, serving: ServingChild) -> None:
        """Stop serving where somebody stops the daemon; one that failed, or was taken over, leaves it to the next leader."""
        if self._asked_to_stop:
            serving.stop()
        else:
            serving.leave()

    def _join(self, side_tasks: Sequence[SideTask]) -> list[str]:
        """Wait for the side tasks; return the names of those that did not end in time."""
        deadline = time.monotonic() + self._settings.training.stop_grace_s + SIDE_TASKS_LIMIT_S
        still_up = [side_task.name for side_task in side_tasks if not side_task.join(max(0.0, deadline - time.monotonic()))]
        if still_up:
            log.error("daemon.slow_stop", side_tasks=still_up, next="they are abandoned; uncommitted events come again")
        return still_up

    def _wire(
        self, inner: contextlib.ExitStack, registry: Registry, buffer: BufferWriter, erasures: Erasures, token: int
    ) -> list[SideTask]:
        settings = self._settings
        for repair in buffer.repairs:
            log.warning("buffer.repaired", repair=repair)
        self._registry = registry
        reach.warn(self._tasks, registry)
        self._try_again(buffer, of_this_version=False)
        event_log = open_event_log(settings)
        inner.callback(event_log.close)
        dead_letters = DeadLetters(settings.dead_letter_file)
        inner.callback(dead_letters.close)
        artifacts = open_store(settings.artifacts_dir)
        artifacts.sweep_temporary()
        metrics = self._metrics
        for topic in CONSUMERS.values():
            metrics.watch_topic(topic)
        ingests = {
            topic: IngestTask(
                group, topic, event_log=event_log, buffer=buffer, dead_letters=dead_letters, erasures=erasures,
                tasks=lambda: self._tasks, settings=settings, metrics=metrics, gap=registry.gaps.add,
            )
            for group, topic in CONSUMERS.items()
        }  # fmt: skip
        for ingest in ingests.values():
            inner.callback(ingest.close)
        features = FeatureStore(settings.data_dir)
        inner.callback(features.close)
        shares = Shares(lambda: self._tasks, registry, buffer, settings.enrich)
        enricher = Enricher(buffer, settings.enrich, settings.feedback, share=shares)
        prepared = Features(features, settings.training, self._stop)
        cycle = Cycle(
            settings=settings,
            tasks=lambda: self._tasks,
            registry=registry,
            buffer=buffer,
            artifacts=artifacts,
            runner=open_runner(settings, self._stop),
            sandbox=LocalSandbox(settings, registry, artifacts, prepared, self._stop),
            metrics=metrics,
            stop=self._stop,
            fencing_token=token,
            features=prepared,
            unread=lambda: ingests[LABELS_TOPIC].unread,
        )
        leading = Leading(settings, lambda: self._tasks, buffer, registry, token)
        eraser = Eraser(
            leading, erasures=erasures, event_log=event_log, dead_letters=dead_letters, artifacts=artifacts, cycle=cycle,
            features=features, metrics=metrics,
        )  # fmt: skip
        corrections, label_corrections = CorrectionsTask(leading), LabelCorrectionsTask(leading)
        publisher = outbox.Publisher(registry, event_log.sink())
        inner.callback(publisher.close)
        observer = Observer(
            metrics, registry=registry, dead_letters=dead_letters, tasks=lambda: self._tasks, data_dir=settings.data_dir
        )
        scheduler = Scheduler(settings.schedule, wake_cycle=self._wake_cycle)
        scheduler.start()
        inner.callback(scheduler.stop)

        alarms = Alarms(registry, fencing_token=token)

        def enrich() -> float:
            outcome = enricher.step()
            metrics.enriched(outcome)
            alarms.raised(outcome.raised)
            busy = outcome.articles or outcome.examples or outcome.resolved or outcome.judged
            return 0.0 if busy else settings.enrich.interval_s

        asked = Asked(leading)
        housekeeping = Housekeeping(
            leading, event_log=event_log, dead_letters=dead_letters, erasures=erasures, artifacts=artifacts
        )

        return [
            *(
                SideTask(f"ingest {topic}", ingest.step, self._stop, step_limit_s=STEP_LIMIT_S, deadline_s=DEADLINE_S)
                for topic, ingest in ingests.items()
            ),
            # A batch's deadline; the first one loads the encoder, perhaps from a hub that is far away.
            SideTask("enrich", enrich, self._stop, step_limit_s=2 * STEP_LIMIT_S, deadline_s=DEADLINE_S),
            SideTask("corrections", corrections.step, self._stop, step_limit_s=STEP_LIMIT_S, deadline_s=DEADLINE_S),
            SideTask("label corrections", label_corrections.step, self._stop, step_limit_s=STEP_LIMIT_S, deadline_s=DEADLINE_S),
            # Its step holds whole runs, which have limits of their own.
            SideTask("cycle", lambda: self._look(cycle), self._stop),
            SideTask("outbox", publisher.step, self._stop, step_limit_s=STEP_LIMIT_S, deadline_s=DEADLINE_S),
            *(
                SideTask(f"notify by {name}", notifier.step, self._stop, step_limit_s=STEP_LIMIT_S, deadline_s=DEADLINE_S)
                for name, notifier in self._notifiers(registry, token).items()
            ),
            *(
                SideTask(f"mirror to {name}", mirror.step, self._stop, step_limit_s=STEP_LIMIT_S, deadline_s=DEADLINE_S)
                for name, mirror in self._mirrors(inner, registry, token).items()
            ),
            SideTask("housekeeping", housekeeping.step, self._stop, step_limit_s=_HOUR_S, deadline_s=STEP_LIMIT_S),
            *(
                [SideTask("sources", Sources(settings, self._stop).step, self._stop, step_limit_s=_HOUR_S, deadline_s=_HOUR_S)]
                if settings.collect.file
                else []
            ),
            SideTask("requests", asked.step, self._stop, step_limit_s=_HOUR_S, deadline_s=STEP_LIMIT_S),
            SideTask("erasure", eraser.step, self._stop, step_limit_s=_HOUR_S, deadline_s=2 * STEP_LIMIT_S),
            SideTask("observing", observer.step, self._stop, step_limit_s=STEP_LIMIT_S, deadline_s=DEADLINE_S),
        ]

    def _notifiers(self, registry: Registry, token: int) -> Mapping[str, Notifier]:
        """Return what tells people of the outgoing events, one for each channel that is set up."""
        wanted = self._settings.notifications
        return {
            channel.name: Notifier(
                channel, registry, kinds=wanted.wanted, repeat_after=timedelta(hours=wanted.repeat_after_hours),
                give_up_after=timedelta(hours=wanted.give_up_after_hours), fencing_token=token, clock=utc_now,
                counted=self._metrics.notified,
            )
            for channel in channels_of(wanted)
        }  # fmt: skip

    def _mirrors(self, inner: contextlib.ExitStack, registry: Registry, token: int) -> Mapping[str, Mirror]:
        """Return what keeps registries of others like ours."""
        found = mirrors_of(self._settings, registry, token)
        for mirror in found.values():
            inner.callback(mirror.close)
        return found

    def _reload_if_asked(self, buffer: BufferWriter | None = None) -> None:
        if not self._reload.is_set():
            return
        self._reload.clear()
        tasks = task_files.reloaded(self._settings.tasks_folder, self._tasks)
        if tasks is None:
            return
        self._tasks = tasks
        if self._registry is not None:
            reach.warn(tasks, self._registry)
        if buffer is not None:
            buffer.use_tasks(tasks)
            # What an old task file may have been the cause of is tried again under the new one.
            self._try_again(buffer, of_this_version=True)
        if self._child is not None:
            self._child.reload()
        self._wake_cycle.set()

    def _try_again(self, buffer: BufferWriter, *, of_this_version: bool) -> None:
        if released := buffer.try_again(of_this_version=of_this_version):
            log.info("daemon.set_aside_tried_again", rows=released, next="they are enriched and judged again")

    def _look(self, cycle: Cycle) -> float:
        # Cleared before the look: whoever wakes the cycle during it, a stop included, is not missed.
        self._wake_cycle.clear()
        if not self._stop.is_set():
            cycle.step()
            self._wake_cycle.wait(self._settings.schedule.check_interval_s)
        return 0.0


def run(settings: Settings, *, serve: bool = True) -> int:
    """Run the daemon in this process until SIGTERM or SIGINT; return its exit code. SIGHUP reloads the task files."""
    daemon = Daemon(settings, serve=serve)
    signals.obey(stop=daemon.stop, reload=daemon.reload, stop_limit_s=settings.training.stop_grace_s + STOP_LIMIT_S)
    return daemon.run()
