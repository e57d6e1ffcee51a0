"""What the daemon is doing, read from outside it: registry, buffer, event log and run folders."""

from __future__ import annotations

from datetime import datetime

from config.clock import Clock, utc_now
from config.errors import UserError
from config.settings import Settings
from config.tasks import load_tasks
from consumers.buffer.open import open_reader
from consumers.dead_letters.store import DeadLetters
from consumers.erasure.requests import Erasures
from consumers.log.open import open_event_log
from daemon.flow.groups import CONSUMERS, LABELS_TOPIC
from daemon.process import leader, presence, probe
from daemon.views import flow, task_status
from daemon.views.erasures import in_words
from daemon.views.flow import Flow
from daemon.views.task_status import TaskStatus
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


class StatusReader:
    """Reads the status again and again over open handles. Changes no data; works beside a running daemon and without one."""

    def __init__(self, settings: Settings, *, clock: Clock = utc_now) -> None:
        if not settings.buffer_dir.exists():
            message = (
                f"nothing has run in {settings.data_dir} yet; start the daemon with `perennial run` (or try `perennial demo`)"
            )
            raise UserError(message)
        self._settings = settings
        self._clock = clock
        self._tasks = load_tasks(settings.tasks_folder)
        self._registry = Registry.open(settings.registry_url, clock=clock, read_only=True)
        self._buffer = open_reader(settings.buffer_dir, tasks=self._tasks, min_quality=settings.enrich.min_quality)
        self._log = open_event_log(settings)
        self._sources = {topic: self._log.source(group, [topic]) for group, topic in CONSUMERS.items()}
        self._dead_letters = DeadLetters(settings.dead_letter_file)
        self._erasures = Erasures(settings.data_dir) if Erasures.exist(settings.data_dir) else None

    def read(self) -> Status:
        """Return the status now."""
        here = presence.read(self._settings.data_dir)
        here = here if here is not None and presence.is_alive(here) else None
        moving = flow.read(self._buffer, self._sources, self._dead_letters)
        leads = leader.of(self._registry)
        now = self._clock()
        return Status(
            **dict(moving),
            at=now.replace(microsecond=0),
            leader=leads.holder,
            no_leader_since=leads.gone_since,
            serving=here.address if here is not None else None,
            serving_problem=probe.problem(here) if here is not None else None,
            erasures=tuple(in_words(one) for one in (self._erasures.unfinished() if self._erasures else ())),
            tasks=tuple(
                task_status.read(
                    task, self._registry, self._buffer, self._settings,
                    unread=moving.lag.get(LABELS_TOPIC), led=leads.holder is not None, now=now,
                )
                for task in self._tasks.values()
            ),
        )  # fmt: skip

    def close(self) -> None:
        """Release the handles."""
        for source in self._sources.values():
            source.close()
        self._log.close()
        self._dead_letters.close()
        if self._erasures is not None:
            self._erasures.close()
        self._buffer.close()
        self._registry.close()
