"""Requests for runs (`retrain` events): which run serves which, and what each waits for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from config.task_files.overrides import Overrides
from daemon.training.due import evidence
from daemon.views.models import runs as views
from registry.database import schema
from tests.support import buffers
from tests.support.cycles import NAME, World, better, task
from trainers.job import spec as job_spec
from trainers.job.spec import JobResult, JobSpec


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path, task(), train=better, keep_runs=2) as made:
        yield made


def test_a_request_served_long_ago_blocks_no_later_run(world: World) -> None:
    # Requests stay in the buffer for ever, so the policy must know every key that was ever used.
    world.buffer.insert(buffers.stored(buffers.retrain("long-ago", NAME)))
    world.grow(10)
    world.cycle.step()
    assert world.only_run().trigger_key == "request:long-ago"
    rows = [
        {
            "run_id": f"old-{n}",
            "task": NAME,
            "trigger_key": f"old:{n}",
            "reason": "",
            "full": False,
            "promote": True,
            "attempt": 1,
        }
        | {"state": "failed", "created_at": world.clock(), "finished_at": world.clock(), "reasons": [], "max_seq": 0}
        for n in range(1000)
    ]
    with world.registry.database.write() as connection:
        connection.execute(sa.insert(schema.runs), rows)
    world.grow(10)
    world.cycle.step()
    assert world.registry.runs.list(limit=1)[0].trigger_key.startswith("threshold:")


def test_a_request_waits_until_the_texts_stored_before_it_are_enriched(world: World) -> None:
    world.grow(3)
    late = (buffers.label(f"late-{number}", f"late text {number}", "A", task=NAME) for number in range(5))
    world.buffer.insert(buffers.stored(*late, buffers.retrain("r-1", NAME)))
    world.buffer.insert(buffers.stored(buffers.label("after", "sent after the request", "A", task=NAME), offset=100))
    world.cycle.step()
    assert world.registry.runs.list() == []
    assert world.look().reasons == ("a run was requested; it starts once 5 more texts are enriched",)
    rows = world.buffer.unenriched("examples", 100)
    world.buffer.apply_enrichment("examples", [buffers.finding(row) for row in rows if row.row_id != "after"])
    world.cycle.step()
    assert world.only_run().trigger_key == "request:r-1"


def test_requests_that_wait_together_are_served_by_one_run(world: World) -> None:
    world.grow(10)
    asked = [buffers.retrain(f"r-{number:03}", NAME) for number in range(2_000)]
    asked[7] = asked[7].model_copy(update={"full": True})
    world.buffer.insert(buffers.stored(*(one.model_copy(update={"promote": one is asked[9]}) for one in asked)))
    world.cycle.step()
    run = world.only_run()
    assert (run.trigger_key, run.full, run.promote, run.state) == ("request:r-000", True, True, "decided")
    assert run.reason == "requested: new desk (and 1999 more requests)"
    for one in (asked[0], asked[1_234]):
        assert [served.run_id for served in views.that_serve(world.registry, one.event_id)] == [run.run_id]
    (started,) = [row.event for row in world.registry.outbox.pending() if row.event["type"] == "training.started"]
    assert (started["requests"][:2], len(started["requests"]), started["requests_served"]) == (["r-000", "r-001"], 500, 2_000)


def test_a_request_that_comes_during_a_run_gets_one_of_its_own(world: World) -> None:
    world.grow(10)
    world.buffer.insert(buffers.stored(buffers.retrain("r-1", NAME), buffers.retrain("r-2", NAME)))

    def asked_meanwhile(spec: JobSpec) -> JobResult:
        world.buffer.insert(buffers.stored(buffers.retrain("r-3", NAME), buffers.retrain("r-4", NAME), offset=100))
        world.train_with(better)
        return better(spec)

    world.train_with(asked_meanwhile)
    world.cycle.step()
    served = [world.registry.runs.trigger_keys(run.run_id) for run in reversed(world.registry.runs.list())]
    assert served == [["request:r-1", "request:r-2"], ["request:r-3", "request:r-4"]]


def test_requests_wait_only_for_the_texts_before_them(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    counted = type(world.buffer).unenriched_before
    monkeypatch.setattr(
        type(world.buffer), "unenriched_before", lambda buffer, task, seq: (asked.append(seq), counted(buffer, task, seq))[1]
    )
    world.grow(3)
    early = [f"r-{number:03}" for number in range(150)]
    world.buffer.insert(buffers.stored(*(buffers.retrain(one, NAME) for one in early)))
    world.buffer.insert(buffers.stored(buffers.label("later", "not enriched yet", "A", task=NAME), offset=1_000))
    world.buffer.insert(buffers.stored(*(buffers.retrain(f"s-{number:03}", NAME) for number in range(50)), offset=2_000))
    found = evidence.gather(NAME, world.registry, world.buffer).request
    assert found is not None
    assert (found.event_id, *found.further) == tuple(early)
    assert found.texts_ahead == 0
    assert len(asked) <= 1 + math.ceil(math.log2(200))
    world.cycle.step()
    waits = evidence.gather(NAME, world.registry, world.buffer).request
    assert waits is not None
    assert (waits.event_id, waits.further, waits.texts_ahead) == ("s-000", (), 1)
    buffers.enrich(world.buffer)
    world.cycle.step()
    assert [len(world.registry.runs.trigger_keys(run.run_id)) for run in world.registry.runs.list()] == [50, 150]


def test_requests_of_all_tasks_come_before_other_triggers(world: World) -> None:
    other = "other-topics"
    world.tasks[other] = task(name=other)
    world.grow(10)
    labels = (buffers.label(f"o-{number}", f"other text {number}", "A", task=other) for number in range(9))
    world.buffer.insert(buffers.stored(*labels))
    buffers.enrich(world.buffer)

    def asked_meanwhile(spec: JobSpec) -> JobResult:
        world.buffer.insert(buffers.stored(buffers.retrain("r-2", other), offset=200))
        return better(spec)

    world.buffer.insert(buffers.stored(buffers.retrain("r-1", other), offset=100))
    world.train_with(asked_meanwhile)
    world.cycle.step()
    keys = [run.trigger_key.partition(":")[0] for run in reversed(world.registry.runs.list())]
    assert keys == ["request", "request", "threshold"]


def test_what_a_request_sets_goes_into_the_order_the_lineage_and_the_card_of_its_run_alone(world: World) -> None:
    world.grow(10)
    otherwise = Overrides(epochs=7, batch_size=8)
    asked = [buffers.retrain(f"r-{number}", NAME).model_copy(update={"training": otherwise}) for number in range(2)]
    world.buffer.insert(buffers.stored(*asked, buffers.retrain("r-plain", NAME)))
    world.cycle.step()
    plain, special = world.registry.runs.list()
    assert special.reason.startswith("requested: ")
    assert special.reason.endswith("(with epochs 7, batch size 8) (and 1 more request)")
    assert world.registry.runs.trigger_keys(plain.run_id) == ["request:r-plain"], "it asks for other settings, so it has its own"
    order = job_spec.read_spec(world.run_folder(special))
    assert (order.task.training.epochs, order.task.training.full_epochs, order.batch_size) == (7, 7, 8)
    assert order.overrides == otherwise
    version = world.registry.versions.get(f"{NAME}/v1")
    assert version.lineage.settings["overrides"] == {"epochs": 7, "batch_size": 8}
    assert "| `overrides.epochs` | 7 |" in (world.run_folder(special) / "card.md").read_text()
    assert job_spec.read_spec(world.run_folder(plain)).batch_size == world.tasks[NAME].training.batch_size
    assert "overrides" not in world.registry.versions.get(f"{NAME}/v2").lineage.settings
