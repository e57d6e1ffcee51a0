"""APScheduler schedules the checks of the triggers: its jobs only set a flag, the cycle's own thread does the work."""

from __future__ import annotations

import threading
from datetime import UTC

import structlog
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobEvent
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from config.sections import ScheduleSettings

_TROUBLE = {EVENT_JOB_ERROR: "failed", EVENT_JOB_MISSED: "missed", EVENT_JOB_MAX_INSTANCES: "still running"}

log = structlog.get_logger(__name__)


class Scheduler:
    """Wakes the cycle every `check_interval_s` and at the weekly moment (UTC).

    Missed weeks are not the scheduler's business: `triggers.evaluate` sees from the runs table that a week is owed.
    """

    def __init__(self, settings: ScheduleSettings, *, wake_cycle: threading.Event) -> None:
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            jobstores={"default": MemoryJobStore()},
            # The library's default forgives only one second of delay and then skips the job.
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self._scheduler.add_listener(_report, EVENT_JOB_ERROR | EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)
        self._wake_cycle = wake_cycle
        self._add("look", IntervalTrigger(seconds=max(1, round(settings.check_interval_s)), timezone=UTC))
        if settings.weekly:
            # Weekday by name: cron numbers start at Monday here, at Sunday elsewhere.
            weekly = CronTrigger(day_of_week=settings.weekly_day, hour=settings.weekly_hour, minute=0, timezone=UTC)
            self._add("weekly", weekly)

    def _add(self, identifier: str, trigger: IntervalTrigger | CronTrigger) -> None:
        self._scheduler.add_job(self._wake_cycle.set, trigger, id=identifier, replace_existing=True)

    def start(self) -> None:
        """Start the scheduler's thread."""
        self._scheduler.start()

    def stop(self) -> None:
        """Stop it; its jobs only set flags, so nothing is waited for."""
        self._scheduler.shutdown(wait=False)


def _report(event: JobEvent) -> None:
    error = getattr(event, "exception", None)
    log.error("schedule.trouble", job=event.job_id, what=_TROUBLE[event.code], error=repr(error) if error else None)
