"""What of the registry goes with time, and what never does, on SQLite and on Postgres."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from config.errors import StopError
from registry import promotion
from registry.database import schema
from registry.removal import retention
from registry.runs import Run
from registry.store import Registry
from tests.support.registries import TASK, Clock, add_version

YEAR_S = 365 * 86_400.0
MONTH = timedelta(days=30)


def ended(registry: Registry, key: str, **changes: object) -> Run:
    run = registry.runs.create(TASK, key, "many", full=True)
    assert run is not None
    return registry.runs.update(run.run_id, state="decided", **changes)  # type: ignore[typeddict-item]  # passed through


def collected(registry: Registry, name: str) -> None:
    """Its files are gone."""
    marked = sa.update(schema.versions).where(schema.versions.c.name == name)
    with registry.database.write() as connection:
        connection.execute(marked.values(collected_at=registry.clock()))


def test_outgoing_events_go_once_they_were_sent_long_ago(
    registry: Registry, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_PORTION", 2)
    for number in range(7):
        registry.outbox.add({"event_id": f"e-{number}", "type": "model.promoted"})
    registry.outbox.mark_sent([row.id for row in registry.outbox.pending()[:5]])
    assert retention.forget_sent(registry, clock() - MONTH) == 0, "young"
    clock.forward(YEAR_S)
    assert retention.forget_sent(registry, clock() - MONTH) == 5
    assert [row.event["event_id"] for row in registry.outbox.pending()] == ["e-5", "e-6"], "what waits is as old and stays"


def test_after_a_quiet_year_new_events_come_behind_those_that_went(registry: Registry, clock: Clock) -> None:
    def added(*ids: str) -> list[int]:
        for event_id in ids:
            registry.outbox.add({"event_id": event_id, "type": "model.promoted"})
        return [row.id for row in registry.outbox.pending()]

    at = registry.notices.begin("slack")
    old = added("a", "b", "c")
    registry.outbox.mark_sent(old)
    registry.notices.settle("slack", old[-1])
    clock.forward(YEAR_S)
    retention.forget_sent(registry, clock() - MONTH)
    new = added("d", "e")
    assert min(new) > max(old) > at
    assert [row.event["event_id"] for row in registry.outbox.after(registry.notices.begin("slack"))] == ["d", "e"]


def test_looks_go_with_the_age_of_their_run_and_those_of_a_run_under_way_stay(
    registry: Registry, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_PORTION", 3)
    old, under_way = ended(registry, "old"), registry.runs.create(TASK, "goes on", "many", full=True)
    assert under_way is not None
    registry.looks.record(TASK, old.run_id, [f"x-{number}" for number in range(8)])
    registry.looks.record(TASK, under_way.run_id, ["x-1"])
    clock.forward(YEAR_S)
    young = ended(registry, "young")
    registry.looks.record(TASK, young.run_id, ["x-1", "x-2"])
    assert retention.forget_looks(registry, clock() - MONTH) == 8
    assert registry.looks.count(TASK, ["x-1", "x-2", "x-3"]) == {"x-1": 2, "x-2": 1, "x-3": 0}


def test_lineage_goes_with_files_and_never_what_a_champion_has_learnt(registry: Registry, clock: Clock) -> None:
    first = add_version(registry, learnt=["a", "b"])
    second = add_version(registry, parent=first.name, learnt=["c"])
    champion = add_version(registry, parent=second.name, learnt=["d"])
    other = add_version(registry, learnt=["e", "f"])
    promotion.promote(registry, TASK, champion.name, expected=None, actor="test", reason="better")
    for one in (first, second, other):
        collected(registry, one.name)
    assert retention.forget_lineage(registry, clock() - MONTH) == 0, "young"
    clock.forward(YEAR_S)
    assert retention.forget_lineage(registry, clock() - MONTH) == 2
    assert registry.versions.learnt(champion.name) == {"a", "b", "c", "d"}
    assert registry.versions.learnt(other.name) == frozenset()
    assert registry.versions.get(other.name).collected_at is not None, "its record stays"


def test_records_of_runs_go_but_for_what_something_needs(registry: Registry, clock: Clock) -> None:
    plain = [ended(registry, f"plain-{number}", max_seq=number) for number in range(3)]
    furthest = ended(registry, "furthest", max_seq=99)
    published = ended(registry, "published")
    add_version(registry, run_id=published.run_id)
    under_way = registry.runs.create(TASK, "goes on", "many", full=True)
    for run in plain:
        registry.looks.record(TASK, run.run_id, ["x-1"])
    clock.forward(YEAR_S)
    newest = [ended(registry, f"new-{number}") for number in range(retention._KEPT_RUNS)]
    assert retention.old_runs(registry, clock() - 2 * timedelta(seconds=YEAR_S)) == []
    old = retention.old_runs(registry, clock() - MONTH)
    assert old == [run.run_id for run in plain]
    before = registry.runs.past(TASK)
    assert retention.forget_runs(registry, old) == 3
    after = registry.runs.past(TASK)
    assert under_way is not None
    kept = {run.run_id for run in registry.runs.list(TASK, limit=999)}
    assert kept == {run.run_id for run in (furthest, published, under_way, *newest)}
    assert (after.max_seq, after.last_finished_at) == (before.max_seq, before.last_finished_at) == (99, newest[-1].finished_at)
    assert registry.looks.count(TASK, ["x-1"]) == {"x-1": 0}


def test_the_requests_that_a_run_served_go_with_its_record(registry: Registry, clock: Clock) -> None:
    run = registry.runs.create(TASK, "request:a", "asked", full=False, further_keys=["request:b"])
    assert run is not None
    registry.runs.update(run.run_id, state="failed", error="x")
    assert registry.runs.past(TASK).trigger_keys == {"request:a", "request:b"}
    retention.forget_runs(registry, [run.run_id])
    assert registry.runs.past(TASK).trigger_keys == frozenset()


def test_a_key_that_is_worth_nothing_keeps_its_name_and_not_its_use(registry: Registry, clock: Clock) -> None:
    for name in ("revoked", "in-use"):
        key, _ = registry.api_keys.create(name, ["predict"])
        registry.api_keys.note_used([key.key_id], clock())
    registry.api_keys.revoke("revoked")
    clock.forward(YEAR_S)
    assert retention.forget_use_of_keys(registry, clock() - MONTH) == 1
    used = {key.name: key.last_used_at is not None for key in registry.api_keys.list()}
    assert used == {"revoked": False, "in-use": True}


def test_a_former_leader_removes_nothing(registry: Registry, clock: Clock) -> None:
    former = registry.lease.acquire("a", 1)
    registry.outbox.add({"event_id": "e-1", "type": "model.promoted"})
    registry.outbox.mark_sent([row.id for row in registry.outbox.pending()])
    clock.forward(YEAR_S)
    registry.lease.acquire("b", 1)
    with pytest.raises(StopError, match="no longer the leader"):
        retention.forget_sent(registry, clock(), fencing_token=former)
