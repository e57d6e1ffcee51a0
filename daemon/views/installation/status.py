"""What the daemon is doing, read from outside it: registry, buffer, event log and run folders."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timedelta

from config.clock import Clock, utc_now
from config.errors import NothingRanError
from config.files.durable import free_bytes
from config.settings import Settings
from config.tasks import TaskSpec, load_tasks
from consumers.buffer.open import open_reader
from consumers.dead_letters.store import DeadLetters
from consumers.erasure.requests import Erasures
from consumers.log.open import open_event_log
from daemon.flow.groups import CONSUMERS, LABELS_TOPIC
from daemon.process import last_backup, leader, presence, probe
from daemon.process.probe import Computing
from daemon.views.erasures import in_words
from daemon.views.installation import alerts, flow
from daemon.views.installation.alerts import Alert
from daemon.views.installation.flow import Flow
from daemon.views.task import task_status
from daemon.views.task.task_status import TaskStatus
from registry.store import Registry


class Status(Flow):
    """The whole installation at one moment."""

    at: datetime
    leader: str | None
    no_leader_since: datetime | None
    """When the last daemon ended or was last heard of; None while one leads, and before the first."""
    serving: str | None
    serving_problem: str | None
    """Why a serving process that is there does not answer."""
    erasures: tuple[str, ...]
    """Those that are not done, in words."""
    tasks: tuple[TaskStatus, ...]
    alerts: tuple[Alert, ...] = ()
    """What a person should see to, critical first."""


class StatusReader:
    """Reads the status again and again over open handles. Changes no data; works beside a running daemon and without one."""

    def __init__(
        self, settings: Settings, *, tasks: Mapping[str, TaskSpec] | None = None, clock: Clock = utc_now
    ) -> None:  # fmt: skip
        """`tasks` are those in force where somebody knows them; else the task files are read.

        Raises `NothingRanError` where nothing has run yet.
        """
        if not settings.buffer_dir.exists():
            message = (
                f"nothing has run in {settings.data_dir} yet; start the daemon with `perennial run` (or try `perennial demo`)"
            )
            raise NothingRanError(message)
        self._settings = settings
        self._clock = clock
        self.tasks: Mapping[str, TaskSpec] = load_tasks(settings.tasks_folder) if tasks is None else tasks
        self.registry = Registry.open(settings.registry_url, clock=clock, read_only=True)
        self.buffer = open_reader(settings.buffer_dir, tasks=self.tasks, min_quality=settings.enrich.min_quality)
        self._log = open_event_log(settings)
        self._sources = {topic: self._log.source(group, [topic]) for group, topic in CONSUMERS.items()}
        self.dead_letters = DeadLetters(settings.dead_letter_file)
        self._erasures: Erasures | None = None

    def use_tasks(self, tasks: Mapping[str, TaskSpec]) -> None:
        """Tell of these tasks from now on."""
        self.tasks = tasks
        self.buffer.use_tasks(tasks)

    def read(self) -> Status:
        """Return the status now."""
        here = presence.read(self._settings.data_dir)
        here = here if here is not None and presence.is_alive(here) else None
        moving = flow.read(self.buffer, self._sources, self.dead_letters)
        leads = leader.of(self.registry)
        now = self._clock()
        if self._erasures is None and Erasures.exist(self._settings.data_dir):
            # The first erasure may have come since.
            self._erasures = Erasures(self._settings.data_dir)
        erasures = self._erasures.unfinished() if self._erasures else []
        # The very process that asks does answer.
        problem = probe.problem(here) if here is not None and here.pid != os.getpid() else None
        computing = probe.computing(here) if here is not None and here.pid != os.getpid() and problem is None else Computing()
        tasks = tuple(
            task_status.read(
                task, self.registry, self.buffer, self._settings,
                unread=moving.lag.get(LABELS_TOPIC), led=leads.holder is not None, now=now, computing=computing,
            )
            for task in self.tasks.values()
        )  # fmt: skip
        limit = timedelta(hours=self._settings.erasure.limit_hours)
        seen = alerts.Looked(
            now=now,
            flow=moving,
            leader_gone_since=leads.gone_since,
            serving_problem=problem,
            late_erasures=sum(one.is_late(now, limit) for one in erasures),
            dead_letters_since=self.dead_letters.nth_newest_at(alerts.MANY_DEAD_LETTERS + 1),
            outgoing=self.registry.outbox.count_pending(),
            free_bytes=free_bytes(self._settings.data_dir),
            needed_bytes=self._settings.ingest.min_free_disk_mib << 20,
            last_backup_at=last_backup.last_backup_at(self._settings.data_dir),
            tasks={task.task: _of_task(task, self.registry) for task in tasks},
        )
        return Status(
            **dict(moving),
            at=now.replace(microsecond=0),
            leader=leads.holder,
            no_leader_since=leads.gone_since,
            serving=here.address if here is not None else None,
            serving_problem=problem,
            erasures=tuple(in_words(one) for one in erasures),
            tasks=tasks,
            alerts=alerts.alerts(seen),
        )

    def close(self) -> None:
        """Release the handles."""
        for source in self._sources.values():
            source.close()
        self._log.close()
        self.dead_letters.close()
        if self._erasures is not None:
            self._erasures.close()
        self.buffer.close()
        self.registry.close()


def _of_task(task: TaskStatus, registry: Registry) -> alerts.OfTask:
    outcomes = registry.runs.outcomes(task.task)
    return alerts.OfTask(
        outcomes.failed_in_a_row, outcomes.last_decided_at, {alarm.move: alarm.held for alarm in task.feedback.alarms},
        paused=task.paused is not None,
    )  # fmt: skip
