"""A registry copied into another database, SQLite and Postgres both ways: the same in all that is promised, and it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from registry import promotion
from registry.database import copying, schema
from registry.store import Registry
from tests.support import postgres
from tests.support.registries import TASK, add_version, check_invariants


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[str, str], Registry]]:
    made: list[Registry] = []

    def make(kind: str, name: str) -> Registry:
        url = f"sqlite:///{tmp_path / name}.db" if kind == "sqlite" else postgres.shared().empty_database()
        made.append(Registry.open(url))
        return made[-1]

    yield make
    for registry in made:
        registry.close()


def fill(registry: Registry) -> None:
    run = registry.runs.create(TASK, "k1", "a reason", full=True)
    registry.runs.update(run.run_id, state="decided", verdict="promote", comparison={"gain": float("inf")})
    registry.runs.create(TASK, "k2", "another", full=False)
    first = add_version(registry, run_id=run.run_id, learnt=["e-1", "e-2"])
    promotion.promote(registry, TASK, first.name, expected=None, actor="test", reason="better")
    second = add_version(registry, parent=first.name, learnt=["e-2", "e-3"])
    promotion.promote(registry, TASK, second.name, expected=first.name, actor="test", reason="better still")
    promotion.pin(registry, TASK, actor="test", reason="an election")
    registry.looks.record(TASK, run.run_id, ["t-1", "t-2"])
    assert registry.lease.acquire("somebody:1", 600) == 1


def content(registry: Registry) -> dict[str, list[tuple[object, ...]]]:
    with registry.database.read() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key.columns))]
            for table in schema.metadata.sorted_tables
        }


@pytest.mark.parametrize("source", ["sqlite", "postgres"])
def test_a_registry_of_keys_alone_is_not_empty(opened: Callable[[str, str], Registry], source: str) -> None:
    one = opened(source, "one")
    assert one.lease.acquire("somebody", 60) is not None
    assert copying.is_empty(one.database), "who leads counts for nothing"
    one.api_keys.create("app", ["predict"])
    assert not copying.is_empty(one.database)


@pytest.mark.parametrize(("source", "target"), [("sqlite", "sqlite"), ("postgres", "sqlite"), ("sqlite", "postgres")])
def test_a_copy_is_the_same_and_goes_on(opened: Callable[[str, str], Registry], source: str, target: str) -> None:
    one = opened(source, "one")
    fill(one)
    other = opened(target, "other")
    assert copying.is_empty(other.database)
    copying.copy_all(one.database, other.database)
    assert content(other) == content(one)
    assert not copying.is_empty(other.database)
    check_invariants(other)
    assert other.versions.learnt(f"{TASK}/v2") == {"e-1", "e-2", "e-3"}
    assert add_version(other, parent=f"{TASK}/v2").name == f"{TASK}/v3", "new rows are numbered behind those that came"
    assert other.runs.create(TASK, "k3", "a third", full=False) is not None
    promotion.unpin(other, TASK, actor="test", reason="over")
    check_invariants(other)
    copying.forget_leader(other.database)
    assert other.lease.holder() is None
    assert other.lease.acquire("next:1", 600) == 2, "a former leader's token is refused"


def test_what_the_target_held_is_replaced(opened: Callable[[str, str], Registry]) -> None:
    one, other = opened("sqlite", "one"), opened("sqlite", "other")
    fill(one)
    for number in range(5):
        add_version(other, "former", run_id=f"r-{number}")
    copying.copy_all(one.database, other.database)
    assert content(other) == content(one)
