"""The scheduler only wakes; what is owed stands in the runs table, so neither lateness nor downtime skips a week."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from config.sections import ScheduleSettings
from config.settings import load_settings
from daemon.training.due.scheduler import Scheduler
from tests.support.cycles import World, better, task

RARELY = load_settings().schedule.model_copy(update={"check_interval_s": 3600.0})
WAIT_S = 20.0


@pytest.fixture
def woken() -> threading.Event:
    return threading.Event()


@pytest.fixture
def scheduler(woken: threading.Event) -> Iterator[Scheduler]:
    made = Scheduler(RARELY, wake_cycle=woken)
    made.start()
    yield made
    made.stop()


def jobs(scheduler: Scheduler) -> dict[str, datetime]:
    return {job.id: job.next_run_time for job in scheduler._scheduler.get_jobs()}


def test_a_weekly_moment_that_was_slept_through_still_wakes_once(scheduler: Scheduler, woken: threading.Event) -> None:
    # As after a suspended machine: three moments lie in the past. The library's default would skip them all.
    with capture_logs() as lines:
        scheduler._scheduler.modify_job("weekly", next_run_time=datetime.now(UTC) - timedelta(weeks=3))
        assert woken.wait(WAIT_S)
    assert not any(line["event"] == "schedule.trouble" for line in lines)
    assert jobs(scheduler)["weekly"] > datetime.now(UTC)


def test_looks_are_timed_by_the_interval(woken: threading.Event) -> None:
    scheduler = Scheduler(RARELY.model_copy(update={"check_interval_s": 1.0}), wake_cycle=woken)
    scheduler.start()
    try:
        for _ in range(2):
            assert woken.wait(WAIT_S)
            woken.clear()
    finally:
        scheduler.stop()


@pytest.mark.parametrize("day", ["mon", "sun"])
def test_weekday_and_hour_are_meant_in_utc_whatever_the_zone_of_the_machine(day: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    settings = ScheduleSettings.model_validate(RARELY.model_dump() | {"weekly_day": day, "weekly_hour": 2})
    scheduler = Scheduler(settings, wake_cycle=threading.Event())
    trigger = scheduler._scheduler.get_job("weekly").trigger
    # Three nights around the change of clocks, in New York (8 March) and in Berlin (29 March), and an ordinary one.
    for after in (datetime(2026, 3, 3, tzinfo=UTC), datetime(2026, 3, 24, tzinfo=UTC), datetime(2026, 5, 5, tzinfo=UTC)):
        due = trigger.get_next_fire_time(None, after)
        assert (due.strftime("%a").lower(), due.hour, due.utcoffset()) == (day, 2, timedelta(0))
        assert trigger.get_next_fire_time(due, due + timedelta(seconds=1)) - due == timedelta(days=7)


def test_the_weekly_wake_can_be_turned_off(woken: threading.Event) -> None:
    made = Scheduler(RARELY.model_copy(update={"weekly": False}), wake_cycle=woken)
    assert [job.id for job in made._scheduler.get_jobs()] == ["look"]


def test_a_job_that_fails_is_logged() -> None:
    seen = threading.Event()

    def broken() -> None:
        seen.set()
        message = "no event"
        raise RuntimeError(message)

    made = Scheduler(RARELY, wake_cycle=threading.Event())
    made.start()
    with capture_logs() as lines:
        made._scheduler.modify_job("look", func=broken, next_run_time=datetime.now(UTC))
        assert seen.wait(WAIT_S)
        made._scheduler.shutdown(wait=True)
    trouble = [line for line in lines if line["event"] == "schedule.trouble"]
    assert [(line["job"], line["what"], line["error"]) for line in trouble] == [("look", "failed", "RuntimeError('no event')")]


def test_weeks_missed_in_a_downtime_are_caught_up_by_one_full_run(tmp_path: Path) -> None:
    weekly = task(trigger={"min_new_examples": 10, "cooldown_minutes": 0})
    with World(tmp_path, weekly, train=better) as world:
        assert world.clock.now.strftime("%a %d %b") == "Wed 01 May"
        world.grow(10)
        world.cycle.step()
        # Down for three and a half weeks; the next process finds one week owed, the newest.
        world.clock.now = datetime(2024, 5, 27, 9, tzinfo=UTC)
        world.next_cycle().step()
        caught_up, _first = world.registry.runs.list()
        assert (caught_up.trigger_key, caught_up.full, caught_up.state) == ("weekly:2024-W21", True, "decided")
        assert "due Sun 2024-05-26 03:00 UTC, 1 day late" in caught_up.reason
        assert world.registry.versions.get(str(caught_up.version)).parent is None
        for _ in range(2):
            world.next_cycle().step()
        assert len(world.registry.runs.list()) == 2
        # A minute before the next moment nothing is due; at the moment one run is, and only one.
        world.clock.now = datetime(2024, 6, 2, 2, 59, tzinfo=UTC)
        world.cycle.step()
        assert len(world.registry.runs.list()) == 2
        world.clock.now = datetime(2024, 6, 2, 3, 0, tzinfo=UTC)
        for _ in range(2):
            world.cycle.step()
        assert [run.trigger_key for run in world.registry.runs.list()][:2] == ["weekly:2024-W22", "weekly:2024-W21"]
