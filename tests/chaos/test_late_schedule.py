"""Clocks and schedulers that misbehave: a process that sleeps past its moments, and nights in which the clock is changed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.cycles import World, task, worse
from tests.support.processes import freeze

SLEEPER = """
import threading
from config.settings import load_settings
from daemon.training.due.scheduler import Scheduler
woken = threading.Event()
Scheduler(load_settings().schedule.model_copy(update={"check_interval_s": 1.0}), wake_cycle=woken).start()
while woken.wait():
    woken.clear()
    print("woken", flush=True)
"""
MISSED_S = 4.0


def test_a_scheduler_that_slept_past_its_moments_wakes_the_cycle_and_complains_of_nothing() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "woken\n"
        freeze(process)
        time.sleep(MISSED_S)
        process.send_signal(signal.SIGCONT)
        went_on = time.monotonic()
        said = [process.stdout.readline() for _ in range(3)]
        took_s = time.monotonic() - went_on
        process.kill()
    assert said == ["woken\n"] * 3, "late ones count, and none is skipped with a complaint"
    assert took_s > 1.0, "what was missed is made up for by one, not by four"


@pytest.mark.parametrize(
    ("zone", "changes"),
    [("America/New_York", ("2024-03-10", "2024-11-03")), ("Europe/Stockholm", ("2024-03-31", "2024-10-27"))],
)
def test_every_week_has_one_run_whatever_the_clocks_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str, changes: tuple[str, str]
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        weekly = task(trigger={"min_new_examples": 10, "cooldown_minutes": 0, "weekly": True})
        for change in changes:
            night = datetime.fromisoformat(change).replace(tzinfo=UTC)
            with World(tmp_path / change, weekly, train=worse) as world:
                world.clock.now = night - timedelta(days=9)
                world.grow(10)
                world.cycle.step()
                for hour in range(-8 * 24, 8 * 24, 6):
                    # Every half hour of the night itself, and the next process takes over in the middle of it.
                    for half in range(12 if -6 <= hour < 12 else 1):
                        world.clock.now = night + timedelta(hours=hour, minutes=30 * half)
                        world.cycle.step()
                    if hour == 0:
                        world.next_cycle()
                keys = [run.trigger_key for run in world.registry.runs.list() if run.trigger_key.startswith("weekly:")]
                moments = {night + timedelta(days=day) for day in range(-9, 8)}
                weeks = {moment.strftime("weekly:%G-W%V") for moment in moments if moment.weekday() == 6}
                assert sorted(keys) == sorted(weeks)
    finally:
        monkeypatch.undo()
        time.tzset()
