"""The machine's clock is set, hours or years, forwards or back: leases lapse, runs start, nothing is removed by a wrong clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from config.clock import ClockWatch
from config.settings import load_settings
from daemon.training import retries
from daemon.training.due import triggers
from registry.leases import Lease
from registry.store import Registry
from tests.support.buffers import FEEDBACK, NOW, feedback, finding, opened, stored
from tests.support.registries import Clock
from tests.unit.test_triggers import NOW as FRIDAY
from tests.unit.test_triggers import QUIET, SCHEDULE, TASK

JUMPS = [timedelta(hours=-3), timedelta(hours=3), timedelta(days=-3 * 365), timedelta(days=3 * 365)]
BACK = [jump for jump in JUMPS if jump < timedelta(0)]
TTL_S = 5.0


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[tuple[Registry, Clock]]:
    clock = Clock()
    with Registry.open(f"sqlite:///{tmp_path / 'registry.db'}", clock=clock) as opened_registry:
        yield opened_registry, clock


@pytest.mark.parametrize("jump", JUMPS)
def test_a_leader_that_lives_keeps_its_lease_through_a_jump(registry: tuple[Registry, Clock], jump: timedelta) -> None:
    here, clock = registry
    token = here.lease.acquire("leader", TTL_S)
    assert token is not None
    clock.forward(jump.total_seconds())
    assert here.lease.renew("leader", token, TTL_S)
    assert here.lease.acquire("standby", TTL_S) is None
    assert here.lease.holder() == "leader"


@pytest.mark.parametrize("jump", BACK)
def test_the_lease_of_a_leader_that_died_lapses_though_the_clock_was_set_back(
    registry: tuple[Registry, Clock], jump: timedelta
) -> None:
    here, clock = registry
    steady = [0.0]
    standby = Lease(here.database, clock, steady=lambda: steady[0])
    token = here.lease.acquire("leader", TTL_S)
    assert token is not None
    clock.forward(jump.total_seconds())
    for second in range(30):
        steady[0] = float(second)
        if second == 8:
            assert here.lease.renew("leader", token, TTL_S), "it still lives"
        clock.forward(0.01)
        taken = standby.acquire("standby", TTL_S)
        if taken is not None:
            break
    # Twice its length after the last renewal, which was seen at the eighth second.
    assert (taken, second) == (token + 1, 19)
    assert here.lease.holder() == "standby"


@pytest.mark.parametrize("jump", BACK)
def test_a_cooldown_and_a_retry_that_lie_in_the_future_hold_up_nothing(registry: tuple[Registry, Clock], jump: timedelta) -> None:
    held = replace(QUIET, new_examples=150, new_weight=150.0, last_run_at=FRIDAY - timedelta(minutes=1))
    settings, now = load_settings(), FRIDAY
    assert triggers.evaluate(TASK, held, SCHEDULE, now).trigger is None
    assert triggers.evaluate(TASK, held, SCHEDULE, now + jump).trigger is not None
    here, _clock = registry
    run = here.runs.create("news-topics", "k", "r", full=False)
    assert run is not None
    waiting = replace(run, failures=1, retry_at=now + retries.pause(settings.training, 1))
    assert retries.waits(waiting, settings.training, [], now)
    assert not retries.waits(waiting, settings.training, [], now + jump)


@pytest.mark.parametrize("jump", BACK)
def test_feedback_that_was_stored_in_the_future_does_not_wait_for_its_prediction(tmp_path: Path, jump: timedelta) -> None:
    now = [NOW]
    with opened(tmp_path, clock=lambda: now[0]) as buffer:
        buffer.insert(stored(feedback("f-1", "a text", prediction_id="p-lost")))
        rows = buffer.unenriched("examples", 9)
        buffer.apply_enrichment("examples", [finding(row) for row in rows])
        patience = timedelta(seconds=10)
        assert buffer.judge_feedback(FEEDBACK, patience=patience).judged == 0
        now[0] = NOW + jump
        assert buffer.judge_feedback(FEEDBACK, patience=patience).judged == 1


@pytest.mark.parametrize("jump_s", [-3 * 3600.0, 3 * 3600.0, 3 * 365 * 86_400.0, -3 * 365 * 86_400.0])
def test_a_jump_is_seen_and_the_passing_of_time_is_none(jump_s: float) -> None:
    steady, wall = [100.0], [1_000_000.0]
    watch = ClockWatch(wall=lambda: wall[0], steady=lambda: steady[0])
    steady[0], wall[0] = 90_100.0, 1_090_000.0
    assert watch.jumped_s() == 0
    wall[0] += jump_s
    assert watch.jumped_s() == jump_s
