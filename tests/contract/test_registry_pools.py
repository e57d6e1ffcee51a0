"""Pools of pairs of models and their requests, on SQLite and on Postgres."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest

from registry.people.pools import Drawn, Pool
from registry.removal import collection, retention
from registry.store import Registry
from tests.support.registries import Clock
from tests.support.registries import add_version as add
from trainers.compare.sequential.allowance import SAVED, TAKEN
from trainers.compare.sequential.look import Look

TASK = "topics"


def wanted(registry: Registry, run_id: str = "r-2") -> Pool:
    return registry.pools.want(task=TASK, run_id=run_id, candidate=f"{TASK}/v2", champion=f"{TASK}/v1", seed=7)


def opened(registry: Registry) -> Pool:
    pool = wanted(registry)
    drawn = [Drawn(f"{number:064x}", number % 2, 0.5, number // 2) for number in range(4)]
    registry.pools.open(pool.pool_id, rows=10, differ=4, sizes=[6, 4], bounds=[], drawn=drawn)
    found = registry.pools.find(pool.pool_id)
    assert found is not None
    return found


def test_a_run_has_one_pool_and_what_both_answered_is_kept_with_it(registry: Registry) -> None:
    assert wanted(registry) == wanted(registry)
    pool = opened(registry)
    assert (pool.state, pool.rows, pool.differ, pool.sizes, pool.disagreement) == ("open", 10, 4, (6, 4), 0.4)
    assert registry.pools.unclosed() == registry.pools.of_task(TASK) == [pool]
    # Opened again after a crash: nothing is drawn twice.
    registry.pools.open(pool.pool_id, rows=10, differ=4, sizes=[6, 4], bounds=[], drawn=[Drawn("0" * 64, 0, 1.0, 0)])
    assert len(registry.pools.requests(pool.pool_id)) == 4


def test_a_batch_is_asked_for_once_with_its_event_and_tells_no_stratum(registry: Registry, clock: Clock) -> None:
    pool = opened(registry)
    assert registry.pools.asked(TASK) == []
    event = {"event_id": f"{pool.pool_id}:label.requested:0", "type": "label.requested", "task": TASK}
    asked = registry.pools.ask(pool.pool_id, 0, event)
    assert registry.pools.ask(pool.pool_id, 0, event) == asked == registry.pools.asked(TASK)
    assert [one.request_id for one in asked] == [f"{pool.pool_id}-0", f"{pool.pool_id}-1"]
    assert all(one.asked_at == clock() for one in asked)
    [told] = [row.event for row in registry.outbox.pending()]
    assert told["requests"] == [one.request_id for one in asked]
    found = registry.pools.find(pool.pool_id)
    assert found is not None
    assert (found.batches, found.asked_at) == (1, clock())


def test_skips_are_counted_and_a_lost_text_is_forgotten(registry: Registry) -> None:
    pool = opened(registry)
    first, second = registry.pools.ask(pool.pool_id, 0, {"event_id": "e", "type": "label.requested", "task": TASK})
    registry.pools.note(first.request_id, "skips")
    registry.pools.note(first.request_id, "cannot_tell")
    registry.pools.note(first.request_id, "cannot_tell")
    registry.pools.lost([second.request_id])
    [left] = registry.pools.asked(TASK)
    assert (left.request_id, left.skips, left.cannot_tell) == (first.request_id, 1, 2)
    lost = registry.pools.requests(pool.pool_id)[1]
    assert (lost.text_sha256, lost.gone) == (None, True)


def test_a_closed_pool_asks_nobody_and_names_no_text(registry: Registry, clock: Clock) -> None:
    pool = opened(registry)
    registry.pools.ask(pool.pool_id, 0, {"event_id": "e", "type": "label.requested", "task": TASK})
    registry.pools.looked(pool.pool_id, 1)
    registry.pools.close(pool.pool_id, "kept", "no better")
    registry.pools.close(pool.pool_id, "expired", "too late to matter")
    found = registry.pools.find(pool.pool_id)
    assert found is not None
    assert (found.state, found.outcome, found.reason, found.closed_at, found.looks) == ("closed", "kept", "no better", clock(), 1)
    assert registry.pools.unclosed() == registry.pools.asked(TASK) == []
    assert {one.text_sha256 for one in registry.pools.requests(pool.pool_id)} == {None}


def test_models_that_people_are_asked_about_are_not_collected(registry: Registry) -> None:
    versions = [add(registry, TASK) for _number in range(4)]
    pool = registry.pools.want(task=TASK, run_id="r-x", candidate=versions[1].name, champion=versions[0].name, seed=1)

    def going() -> list[str]:
        with registry.database.read() as connection:
            needed = collection.pools.needed(connection)
        return [one.name for one in collection.choose(registry.versions.list(TASK), [], [], keep=1, asked_about=needed)]

    assert going() == [versions[2].name]
    registry.pools.close(pool.pool_id, "expired", "")
    assert going() == [one.name for one in versions[:3]]


def test_closed_pools_go_with_time_and_open_ones_stay(registry: Registry, clock: Clock) -> None:
    pool = opened(registry)
    registry.looks.record(TASK, f"{pool.run_id}:look-1", ["test-1"])
    registry.pools.looked(pool.pool_id, 1)
    later = clock() + timedelta(days=1)
    assert retention.forget_pools(registry, later) == 0
    registry.pools.close(pool.pool_id, "kept", "")
    assert retention.forget_pools(registry, clock()) == 0
    assert retention.forget_pools(registry, later) == 1
    assert registry.pools.find(pool.pool_id) is None
    assert registry.pools.requests(pool.pool_id) == []
    assert registry.looks.count(TASK, ["test-1"]) == {"test-1": 0}


def test_pairs_of_a_task_share_its_allowance_and_a_test_that_was_begun_goes_on(registry: Registry, clock: Clock) -> None:
    first, second = wanted(registry), wanted(registry, "r-3")
    other = registry.pools.want(task="other", run_id="r-4", candidate="other/v2", champion="other/v1", seed=7)
    begun = registry.pools.begin_test(first.pool_id, 2_000.0)
    assert (begun.level, begun.looks) == (pytest.approx(TAKEN * SAVED), ())
    clock.forward(3600)
    # Again after a crash: the same level, and none of the allowance twice.
    assert registry.pools.begin_test(first.pool_id, 3_000.0) == begun
    assert registry.pools.begin_test(other.pool_id, math.inf).level == begun.level
    after = registry.pools.begin_test(second.pool_id, 2_000.0)
    assert after.level == pytest.approx(TAKEN * (1 - TAKEN) * SAVED, rel=1e-3)
    look = Look(information=812.25, share=0.25)
    registry.pools.looked(first.pool_id, 1, look)
    registry.pools.looked(first.pool_id, 2)
    found = registry.pools.find(first.pool_id)
    assert found is not None
    assert (found.looks, found.test) == (2, begun.with_look(look))
    closed = registry.pools.find(other.pool_id)
    assert closed is not None
    assert closed.test is not None
    assert math.isinf(closed.test.planned)


def test_a_pool_whose_test_took_of_the_allowance_stays_until_that_is_refilled(registry: Registry, clock: Clock) -> None:
    pool = opened(registry)
    begun = registry.pools.begin_test(pool.pool_id, 2_000.0)
    registry.pools.close(pool.pool_id, "kept", "")
    clock.forward(200 * 86_400)
    assert retention.forget_pools(registry, clock()) == 0
    assert registry.pools.begin_test(wanted(registry, "r-3").pool_id, 2_000.0).level < begun.level
    clock.forward(200 * 86_400)
    assert retention.forget_pools(registry, clock()) == 1
