"""What the registry promises, on SQLite and on Postgres."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from config.errors import RetryError, RunFailedError, StopError, UserError
from registry import promotion
from registry.aliases import Alias
from registry.database import schema
from registry.promotion import ChampionMovedError, PinnedError
from registry.runs import Run
from registry.store import Registry
from tests.support.registries import TASK, Clock, add_version, check_invariants

REPOSITORY = Path(__file__).parents[2]
RACER = REPOSITORY / "tests" / "support" / "registry_racer.py"


def new_run(registry: Registry, key: str = "key", task: str = TASK) -> Run:
    run = registry.runs.create(task, key, "132 new examples", full=False)
    assert run is not None
    return run


def promote(registry: Registry, version: str, expected: str | None, **more: object) -> Alias:
    return promotion.promote(registry, TASK, version, expected=expected, actor="test", reason="better", **more)  # type: ignore[arg-type]  # passed through


class TestRuns:
    def test_a_trigger_key_gives_one_run_per_task(self, registry: Registry, clock: Clock) -> None:
        run = new_run(registry, "weekly:2026-W01")
        assert registry.runs.create(TASK, "weekly:2026-W01", "again", full=True) is None
        other = new_run(registry, "weekly:2026-W01", task="entities")
        assert (run.state, run.attempt, run.created_at, run.parent) == ("queued", 1, clock.now, None)
        assert other.run_id != run.run_id

    def test_runs_are_listed_page_by_page_and_tell_when_they_ran(self, registry: Registry, clock: Clock) -> None:
        runs = [new_run(registry, f"k{number}") for number in range(5)]
        newest = [run.run_id for run in registry.runs.list(TASK, 2)]
        older = [run.run_id for run in registry.runs.list(TASK, 2, offset=2)]
        assert [*newest, *older] == [run.run_id for run in reversed(runs)][:4]
        began = clock.now
        for run in runs[:2]:
            registry.runs.update(run.run_id, started_at=clock.now)
            clock.forward(60)
            registry.runs.update(run.run_id, state="failed")
        assert registry.runs.costs(TASK, began, 9) == [
            (began.replace(minute=1), clock.now, None), (began, began.replace(minute=1), None),
        ]  # fmt: skip
        assert len(registry.runs.costs(TASK, began, 1)) == 1
        assert registry.runs.costs(TASK, clock.now, 9) == []

    def test_a_run_serves_further_keys_which_then_start_none(self, registry: Registry) -> None:
        first = new_run(registry, "request:a")
        run = registry.runs.create(TASK, "request:b", "asked", full=False, further_keys=["request:c", "request:a", "request:c"])
        assert run is not None
        assert registry.runs.trigger_keys(run.run_id) == ["request:b", "request:c"]
        assert registry.runs.trigger_keys(first.run_id) == ["request:a"], "it had its run before"
        assert registry.runs.past(TASK).trigger_keys == {"request:a", "request:b", "request:c"}
        assert registry.runs.create(TASK, "request:c", "again", full=True) is None
        other = new_run(registry, "request:c", task="entities")
        assert [found.run_id for found in registry.runs.triggered("request:c", TASK)] == [run.run_id]
        assert [found.run_id for found in registry.runs.triggered("request:c")] == [run.run_id, other.run_id]
        assert registry.runs.triggered("request:d") == []

    def test_lists_newest_first_and_unfinished_oldest_first(self, registry: Registry) -> None:
        runs = [new_run(registry, f"key-{number}") for number in range(3)]
        other = new_run(registry, "key", task="entities")
        registry.runs.update(runs[1].run_id, state="failed", error="out of memory")
        assert [run.run_id for run in registry.runs.list(TASK)] == [run.run_id for run in reversed(runs)]
        assert [run.run_id for run in registry.runs.list(limit=2)] == [other.run_id, runs[2].run_id]
        assert [run.run_id for run in registry.runs.unfinished()] == [runs[0].run_id, runs[2].run_id, other.run_id]
        last = registry.runs.last(TASK)
        assert last is not None
        assert last.run_id == runs[2].run_id
        assert registry.runs.last("nothing") is None
        several = registry.runs.several([runs[0].run_id, other.run_id, "gone"])
        assert {name: run.task for name, run in several.items()} == {runs[0].run_id: TASK, other.run_id: "entities"}

    def test_everything_recorded_comes_back_as_it_was(self, registry: Registry) -> None:
        run = new_run(registry)
        started = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
        comparison = {"required_gain": math.inf, "slices": [{"name": "nyhet å"}]}
        changed = registry.runs.update(
            run.run_id,
            state="training",
            started_at=started,
            attempt=2,
            verdict="keep",
            reasons=("too few rows", "ü"),
            comparison=comparison,
            version=f"{TASK}/v1",
            max_seq=2**40,
            training_set_sha256="ab",
        )
        assert changed == registry.runs.get(run.run_id)
        assert (changed.started_at, changed.comparison, changed.max_seq) == (started, comparison, 2**40)
        assert changed.reasons == ("too few rows", "ü")

    def test_a_state_only_moves_forward(self, registry: Registry, clock: Clock) -> None:
        run = new_run(registry)
        registry.runs.update(run.run_id, state="trained")
        registry.runs.update(run.run_id, state="trained")
        with pytest.raises(UserError, match=f"{run.run_id} is 'trained' and cannot become 'frozen'"):
            registry.runs.update(run.run_id, state="frozen")
        clock.forward(60)
        decided = registry.runs.update(run.run_id, state="decided")
        assert decided.finished
        assert decided.finished_at == clock.now
        with pytest.raises(UserError, match="cannot become 'failed'"):
            registry.runs.update(run.run_id, state="failed")
        assert registry.runs.get(run.run_id).state == "decided"

    def test_an_unknown_run_is_named(self, registry: Registry) -> None:
        for step in (lambda: registry.runs.get("nope"), lambda: registry.runs.update("nope", attempt=2)):
            with pytest.raises(UserError, match="'nope'"):
                step()
        assert registry.runs.find("nope") is None


class TestVersions:
    def test_a_run_gets_one_version_however_often_it_asks(self, registry: Registry) -> None:
        first = add_version(registry, run_id="r1", learnt=["a", "b"])
        again = add_version(registry, run_id="r1", learnt=["c"])
        assert again == first == registry.versions.get(f"{TASK}/v1") == registry.versions.of_run("r1")
        assert registry.versions.learnt(first.name) == {"a", "b"}
        assert registry.versions.next_number(TASK) == 2

    def test_what_is_found_out_about_a_head_is_recorded_beside_the_rest(self, registry: Registry) -> None:
        before = add_version(registry).metrics
        registry.versions.note_head(f"{TASK}/v1", solvable=True)
        assert registry.versions.get(f"{TASK}/v1").metrics == {**before, "refreshable": True}
        registry.versions.note_head(f"{TASK}/v1", solvable=False, why="it is torn")
        assert registry.versions.get(f"{TASK}/v1").metrics == {**before, "refreshable": False, "standing_head": "it is torn"}
        with pytest.raises(UserError, match="v9"):
            registry.versions.note_head(f"{TASK}/v9", solvable=True)

    def test_a_number_taken_meanwhile_is_tried_again(self, registry: Registry) -> None:
        version = add_version(registry)
        with pytest.raises(RetryError, match="the next number is 2"):
            registry.versions.add(
                TASK, 1, run_id="late", artifact_id="x", manifest_sha256="", size_bytes=1, parent=None,
                lineage=version.lineage, metrics={}, learnt=(),
            )  # fmt: skip
        assert registry.versions.of_run("late") is None

    def test_learnt_is_the_union_over_all_parents_and_stored_once(self, registry: Registry) -> None:
        first = add_version(registry, learnt=["a", "b"])
        second = add_version(registry, parent=first.name, learnt=["b", "c"])
        third = add_version(registry, parent=second.name, learnt=["c", "d"])
        add_version(registry, parent=first.name, learnt=["e"])
        assert registry.versions.learnt(third.name) == {"a", "b", "c", "d"}
        assert registry.versions.who_learnt(TASK, ["b", "nobody"]) == [first.name]
        assert registry.versions.who_learnt(TASK, ["nobody"]) == registry.versions.who_learnt("entities", ["b"]) == []
        with registry.database.read() as connection:
            assert connection.execute(sa.select(sa.func.count()).select_from(schema.learnt)).scalar_one() == 5

    def test_a_hundred_thousand_examples_are_stored_and_read(self, registry: Registry) -> None:
        first = add_version(registry, learnt=["older"])
        second = add_version(registry, parent=first.name, learnt=[f"label:2026-01-02:{number:08d}" for number in range(100_000)])
        assert len(registry.versions.learnt(second.name)) == 100_001

    def test_lists_newest_first_and_names_what_is_missing(self, registry: Registry) -> None:
        versions = [add_version(registry), add_version(registry), add_version(registry, "entities")]
        assert [version.name for version in registry.versions.list(TASK)] == [f"{TASK}/v2", f"{TASK}/v1"]
        assert [version.name for version in registry.versions.list()] == [version.name for version in reversed(versions)]
        for step in (lambda: registry.versions.get("x/v9"), lambda: registry.versions.learnt("x/v9")):
            with pytest.raises(UserError, match="there is no version 'x/v9'"):
                step()
        with pytest.raises(UserError, match="'x/v9'"):
            add_version(registry, parent="x/v9")
        assert registry.versions.next_number(TASK) == 3

    def test_numbers_have_no_gap_when_many_add_at_once(self, registry: Registry, url: str) -> None:
        def add(worker: int) -> None:
            with Registry.open(url) as own:
                for turn in range(3):
                    while True:
                        try:
                            add_version(own, run_id=f"{worker}-{turn}", learnt=[f"{worker}-{turn}"])
                            break
                        except RetryError:
                            continue

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add, range(4)))
        assert sorted(version.number for version in registry.versions.list(TASK)) == list(range(1, 13))


class TestPromotion:
    def test_promote_and_roll_back(self, registry: Registry) -> None:
        for _ in range(2):
            add_version(registry)
        assert registry.versions.champion(TASK) is None
        promote(registry, f"{TASK}/v1", None)
        alias = promote(registry, f"{TASK}/v2", f"{TASK}/v1")
        assert (alias.version, alias.generation) == (f"{TASK}/v2", 2)
        back = promotion.rollback(registry, TASK, actor="anna", reason="worse on markets")
        assert (back.version, back.generation) == (f"{TASK}/v1", 3)
        assert registry.versions.champion(TASK) == back
        assert {alias.name: alias.version for alias in registry.versions.aliases(TASK)} == {
            "champion": f"{TASK}/v1",
            "previous": f"{TASK}/v2",
        }
        line = registry.versions.history(TASK)[-1]
        assert (line.kind, line.from_version, line.to_version) == ("rollback", f"{TASK}/v2", f"{TASK}/v1")
        assert (line.actor, line.reason) == ("anna", "worse on markets")
        check_invariants(registry)

    def test_roll_back_to_a_named_version(self, registry: Registry) -> None:
        for number in range(1, 4):
            promote(registry, add_version(registry).name, f"{TASK}/v{number - 1}" if number > 1 else None)
        assert promotion.rollback(registry, TASK, to=f"{TASK}/v1", actor="a", reason="r").version == f"{TASK}/v1"
        check_invariants(registry)

    def test_by_hand_whoever_is_champion_makes_way(self, registry: Registry) -> None:
        first, second = add_version(registry).name, add_version(registry).name
        for name in (first, second):
            assert promotion.promote_by_hand(registry, name, actor="operator", reason="election night").version == name
        assert registry.versions.history(TASK)[-1].from_version == first
        with pytest.raises(UserError, match="there is no version"):
            promotion.promote_by_hand(registry, f"{TASK}/v9", actor="operator", reason="a typing error")
        check_invariants(registry)

    def test_a_stale_promotion_is_refused(self, registry: Registry) -> None:
        for _ in range(3):
            add_version(registry)
        promote(registry, f"{TASK}/v1", None)
        promote(registry, f"{TASK}/v2", f"{TASK}/v1")
        with pytest.raises(ChampionMovedError, match=rf"compared with {TASK}/v1, but .* is now {TASK}/v2"):
            promote(registry, f"{TASK}/v3", f"{TASK}/v1")
        with pytest.raises(ChampionMovedError, match="compared with no champion"):
            promote(registry, f"{TASK}/v3", None)
        with pytest.raises(ChampionMovedError):
            promotion.rollback(registry, TASK, expected=f"{TASK}/v1", actor="a", reason="r")
        champion = registry.versions.champion(TASK)
        assert champion is not None
        assert champion.version == f"{TASK}/v2"
        check_invariants(registry)

    def test_the_same_promotion_again_changes_nothing(self, registry: Registry) -> None:
        for _ in range(2):
            add_version(registry)
        promote(registry, f"{TASK}/v1", None)
        once = promote(registry, f"{TASK}/v2", f"{TASK}/v1")
        assert promote(registry, f"{TASK}/v2", f"{TASK}/v1") == once
        assert len(registry.versions.history(TASK)) == 2
        with pytest.raises(UserError, match="already"):
            promote(registry, f"{TASK}/v2", f"{TASK}/v2")
        check_invariants(registry)

    def test_a_pinned_champion_stays(self, registry: Registry) -> None:
        for _ in range(3):
            add_version(registry)
        promote(registry, f"{TASK}/v1", None)
        promote(registry, f"{TASK}/v2", f"{TASK}/v1")
        pinned = promotion.pin(registry, TASK, actor="anna", reason="election night")
        assert pinned.pinned
        assert pinned.generation == 2
        assert promotion.pin(registry, TASK, actor="bo", reason="too") == pinned
        with pytest.raises(PinnedError, match=f"{TASK}/v2 is pinned"):
            promote(registry, f"{TASK}/v3", f"{TASK}/v2")
        with pytest.raises(PinnedError):
            promotion.rollback(registry, TASK, actor="a", reason="r")
        assert not promotion.unpin(registry, TASK, actor="anna", reason="over").pinned
        assert promote(registry, f"{TASK}/v3", f"{TASK}/v2").generation == 3
        assert [line.kind for line in registry.versions.history(TASK)] == ["promote", "promote", "pin", "unpin", "promote"]
        check_invariants(registry)

    def test_what_cannot_serve_is_never_champion(self, registry: Registry) -> None:
        add_version(registry)
        foreign = add_version(registry, "entities")
        with pytest.raises(UserError, match="version of task 'entities'"):
            promote(registry, foreign.name, None)
        with pytest.raises(UserError, match=f"no version '{TASK}/v7'"):
            promote(registry, f"{TASK}/v7", None)
        with registry.database.write() as connection:
            connection.execute(sa.update(schema.versions).values(collected_at=registry.clock()))
        with pytest.raises(UserError, match="files were removed on 2026-01-01"):
            promote(registry, f"{TASK}/v1", None)
        for step in (promotion.rollback, promotion.pin, promotion.unpin):
            with pytest.raises(UserError, match=r"no (earlier )?champion"):
                step(registry, TASK, actor="a", reason="r")
        assert registry.versions.aliases(TASK) == []
        check_invariants(registry)

    def test_the_event_goes_out_with_the_move_or_not_at_all(self, registry: Registry) -> None:
        add_version(registry)
        with pytest.raises(RunFailedError, match="not JSON serializable"):
            promote(registry, f"{TASK}/v1", None, event={"broken": object()})
        assert registry.versions.aliases(TASK) == []
        assert registry.versions.history(TASK) == []
        assert registry.outbox.pending() == []
        promote(registry, f"{TASK}/v1", None, event={"event_id": "run-1:model.promoted", "gain": 0.07})
        (queued,) = registry.outbox.pending()
        assert queued.event == {
            "event_id": "run-1:model.promoted", "type": "model.promoted", "occurred_at": "2026-01-01T12:00:00+00:00",
            "task": TASK, "version": f"{TASK}/v1", "previous": None, "generation": 1, "actor": "test", "reason": "better",
            "gain": 0.07, "uri": f"/v1/models/{TASK}/v1/manifest",
        }  # fmt: skip

    def test_of_many_at_once_one_wins(self, registry: Registry, url: str) -> None:
        names = [add_version(registry).name for _ in range(6)]
        promote(registry, names[0], None)

        def attempt(name: str) -> bool:
            with Registry.open(url) as own:
                try:
                    promote(own, name, names[0])
                except ChampionMovedError:
                    return False
                return True

        with ThreadPoolExecutor(5) as pool:
            assert sum(pool.map(attempt, names[1:])) == 1
        check_invariants(registry)


class TestLease:
    def test_one_leads_until_its_time_is_over(self, registry: Registry, clock: Clock) -> None:
        first = registry.lease.acquire("a", ttl_s=15)
        assert first == 1
        assert registry.lease.acquire("b", ttl_s=15) is None
        assert registry.lease.holder() == "a"
        clock.forward(14)
        assert registry.lease.renew("a", first, ttl_s=15)
        clock.forward(14)
        assert registry.lease.acquire("b", ttl_s=15) is None
        clock.forward(2)
        assert registry.lease.holder() is None
        assert registry.lease.acquire("b", ttl_s=15) == 2
        assert not registry.lease.renew("a", first, ttl_s=15)
        registry.lease.release("a", first)
        assert registry.lease.holder() == "b"

    def test_release_lets_the_next_one_in_at_once_under_a_higher_token(self, registry: Registry) -> None:
        token = registry.lease.acquire("a", ttl_s=15)
        assert token is not None
        registry.lease.release("a", token)
        assert registry.lease.holder() is None
        assert not registry.lease.renew("a", token, ttl_s=15)
        assert registry.lease.acquire("b", ttl_s=15) == 2

    def test_a_restart_fences_off_its_former_self(self, registry: Registry) -> None:
        assert registry.lease.acquire("a", ttl_s=15) == 1
        assert registry.lease.acquire("a", ttl_s=15) == 2
        assert not registry.lease.renew("a", 1, ttl_s=15)

    def test_a_token_is_higher_than_any_that_was_used_elsewhere(self, registry: Registry) -> None:
        token = registry.lease.acquire("a", ttl_s=15, above=17)
        assert token == 18, "a new registry beside an older buffer"
        registry.lease.release("a", token)
        assert registry.lease.acquire("b", ttl_s=15, above=3) == 19
        assert registry.lease.acquire("b", ttl_s=15, above=40) == 41

    def test_an_expired_lease_that_nobody_took_is_renewed(self, registry: Registry, clock: Clock) -> None:
        assert registry.lease.acquire("a", ttl_s=15) == 1
        clock.forward(60)
        assert registry.lease.renew("a", 1, ttl_s=15)
        assert registry.lease.holder() == "a"

    def test_a_former_leader_writes_nothing(self, registry: Registry, clock: Clock) -> None:
        old = registry.lease.acquire("a", ttl_s=15)
        run = new_run(registry)
        add_version(registry)
        clock.forward(60)
        assert registry.lease.acquire("b", ttl_s=15) == 2
        writes: list[Callable[[], object]] = [
            lambda: registry.runs.create(TASK, "late", "late", full=False, fencing_token=old),
            lambda: registry.runs.update(run.run_id, state="failed", fencing_token=old),
            lambda: registry.versions.note_head(f"{TASK}/v1", solvable=False, fencing_token=old),
            lambda: promote(registry, f"{TASK}/v1", None, fencing_token=old),
            lambda: promotion.rollback(registry, TASK, actor="a", reason="r", fencing_token=old),
            lambda: promotion.pin(registry, TASK, actor="a", reason="r", fencing_token=old),
        ]
        for write in writes:
            with pytest.raises(StopError, match="no longer the leader: its token is 1, and 'b' under token 2"):
                write()
        assert [known.state for known in registry.runs.list()] == ["queued"]
        assert registry.versions.aliases(TASK) == []
        promote(registry, f"{TASK}/v1", None, fencing_token=2)
        registry.lease.release("b", 2)
        with pytest.raises(StopError, match="nobody leads now"):
            registry.runs.create(TASK, "late", "late", full=False, fencing_token=2)


class TestOutbox:
    def test_events_wait_in_order_until_they_are_marked(self, registry: Registry) -> None:
        for number in range(3):
            registry.outbox.add({"type": "training.started", "number": number})
        first, second, third = registry.outbox.pending()
        assert [queued.event["number"] for queued in (first, second, third)] == [0, 1, 2]
        assert len({queued.event["event_id"] for queued in (first, second, third)}) == 3
        registry.outbox.mark_sent([first.id, third.id])
        assert registry.outbox.pending() == [second]
        registry.outbox.mark_sent([first.id, second.id])
        assert registry.outbox.pending() == []

    def test_the_same_event_is_queued_once(self, registry: Registry) -> None:
        for _ in range(2):
            registry.outbox.add({"event_id": "run-1:training.started", "type": "training.started"})
        (queued,) = registry.outbox.pending()
        registry.outbox.mark_sent([queued.id])
        registry.outbox.add({"event_id": "run-1:training.started", "type": "training.started"})
        assert registry.outbox.pending() == []

    def test_an_event_is_json_in_every_language(self, registry: Registry) -> None:
        registry.outbox.add({"type": "x", "required": math.inf, "parts": ({"gain": math.nan},), "text": "å"})
        event = registry.outbox.pending()[0].event
        assert (event["required"], event["parts"], event["text"]) == (None, [{"gain": None}], "å")
        json.dumps(event, allow_nan=False)


class TestLooks:
    def test_every_run_counts_once_per_row(self, registry: Registry) -> None:
        assert registry.looks.count(TASK, ["a", "b"]) == {"a": 0, "b": 0}
        for _ in range(2):
            registry.looks.record(TASK, "run-1", ["a", "b"])
        registry.looks.record(TASK, "run-2", ["b", "c", "c"])
        registry.looks.record("entities", "run-3", ["a"])
        assert registry.looks.count(TASK, ["a", "b", "c", "d"]) == {"a": 1, "b": 2, "c": 1, "d": 0}
        assert registry.looks.next_number(TASK, ["a", "b", "c", "d"]) == 2
        assert registry.looks.next_number(TASK, ["a", "b"]) == 3, "rounded up"
        assert registry.looks.next_number(TASK, []) == 1

    def test_more_rows_than_one_statement_takes(self, registry: Registry) -> None:
        rows = [f"row-{number}" for number in range(12_000)]
        registry.looks.record(TASK, "run-1", rows)
        assert sum(registry.looks.count(TASK, rows).values()) == 12_000


class TestProcesses:
    """Real processes that start at the same moment."""

    def race(self, url: str, tmp_path: Path, *orders: list[str]) -> list[object]:
        go = tmp_path / "go"
        racers = [
            subprocess.Popen([sys.executable, RACER, url, str(go), *order], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
            for order in orders
        ]
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        go.touch()
        return [json.loads(racer.communicate(timeout=60)[0]) for racer in racers]

    def test_race_for_the_lease(self, registry: Registry, url: str, tmp_path: Path) -> None:
        tokens = self.race(url, tmp_path, ["lease", "a"], ["lease", "b"])
        assert sorted(tokens, key=str) == [1, None]
        with registry.database.read() as connection:
            holder = connection.execute(sa.select(schema.lease.c.holder)).scalar_one()
        assert holder == "ab"[tokens.index(1)]

    def test_race_for_the_alias(self, registry: Registry, url: str, tmp_path: Path) -> None:
        for _ in range(3):
            add_version(registry)
        promote(registry, f"{TASK}/v1", None)
        outcomes = self.race(url, tmp_path, ["promote", f"{TASK}/v2", f"{TASK}/v1"], ["promote", f"{TASK}/v3", f"{TASK}/v1"])
        assert sorted(map(str, outcomes)) == ["ChampionMovedError", "moved"]
        check_invariants(registry)


class TestOpening:
    def test_many_at_once_migrate_once(self, url: str) -> None:
        barrier = threading.Barrier(4)

        def start(_number: int) -> int:
            barrier.wait()
            with Registry.open(url) as opened:
                return opened.versions.next_number(TASK)

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(start, range(4))) == [1, 1, 1, 1]

    def test_a_reader_reads_and_never_writes(self, registry: Registry, url: str) -> None:
        add_version(registry)
        with Registry.open(url, read_only=True) as reader:
            assert reader.versions.get(f"{TASK}/v1").number == 1
            with pytest.raises(StopError, match="reading only"):
                reader.runs.create(TASK, "key", "reason", full=False)
            with pytest.raises((RetryError, StopError)), reader.database.read() as connection:
                connection.execute(sa.delete(schema.versions))
        assert registry.versions.get(f"{TASK}/v1").number == 1

    def test_a_reader_does_not_build_the_schema(self, url: str) -> None:
        with pytest.raises(RetryError, match="perennial run"):
            Registry.open(url, read_only=True)

    def test_none_is_created_where_one_must_exist(self, url: str) -> None:
        for _ in range(2):
            with pytest.raises(UserError, match="none was created"):
                Registry.open(url, create=False)
        Registry.open(url).close()
        Registry.open(url, create=False).close()

    def test_a_newer_schema_is_refused_and_left_alone(self, registry: Registry, url: str) -> None:
        with registry.database.write() as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(StopError, match=f"schema 9999, which is newer than this program's \\({schema.HEAD}\\)"):
            Registry.open(url)
