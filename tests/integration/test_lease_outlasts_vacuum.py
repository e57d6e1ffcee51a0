"""Rewriting the registry's file locks it for longer than a lease: the leader leads on all the same."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from config.errors import RetryError, StopError
from registry.database import schema
from registry.leases import Lease
from registry.store import Registry
from tests.support.registries import Clock, add_version


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'registry.db'}"


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    with Registry.open(url, clock=Clock()) as opened:
        yield opened


def test_a_standby_that_asks_as_soon_as_the_file_is_free_finds_the_lease_held(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = registry.clock
    assert isinstance(clock, Clock)
    token = registry.lease.acquire("leader", 5)
    asked: list[int | None] = []

    def locked_for_longer_than_a_lease() -> None:
        clock.forward(30)
        asked.append(registry.lease.acquire("standby", 5))
        assert registry.lease.renew("leader", token, 5), "a renewal that came through makes it no shorter"
        clock.forward(29)
        asked.append(registry.lease.acquire("standby", 5))

    monkeypatch.setattr(registry.database, "vacuum", locked_for_longer_than_a_lease)
    registry.compact(fencing_token=token)
    assert asked == [None, None]
    assert registry.lease.renew("leader", token, 5)
    clock.forward(6)
    assert registry.lease.acquire("standby", 5) is not None, "afterwards it is as short as ever"


def test_a_standby_that_was_locked_out_counts_that_while_as_nothing(tmp_path: Path) -> None:
    """Whatever the clocks say a lease lapses that nobody renews; while the file is locked nobody can."""
    steady, clock = [0.0], Clock()
    with Registry.open(f"sqlite:///{tmp_path / 'registry.db'}", clock=clock) as leader:
        token = leader.lease.acquire("leader", 5)
        assert token is not None
        with leader.lease.held(token, 600):
            standby = Lease(leader.database, clock, steady=lambda: steady[0])
            assert standby.acquire("standby", 5) is None
            write = leader.database.write

            @contextmanager
            def locked_for_long() -> Iterator[Connection]:
                steady[0] += 30
                with write() as connection:
                    yield connection

            leader.database.write = locked_for_long  # type: ignore[method-assign]  # the fault
            assert standby.acquire("standby", 5) is None
            leader.database.write = write  # type: ignore[method-assign]  # fixed
        steady[0] += 6
        assert standby.acquire("standby", 5) is None
        steady[0] += 6
        assert standby.acquire("standby", 5) is not None, "nobody renews"


def test_it_is_as_short_as_ever_after_a_failure_too(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = registry.clock
    assert isinstance(clock, Clock)
    token = registry.lease.acquire("leader", 5)

    def full() -> None:
        message = "the disk is full"
        raise RetryError(message)

    monkeypatch.setattr(registry.database, "vacuum", full)
    with pytest.raises(RetryError):
        registry.compact(fencing_token=token)
    assert registry.lease.renew("leader", token, 5)
    clock.forward(6)
    assert registry.lease.acquire("standby", 5) is not None


def test_a_former_leader_neither_prolongs_the_lease_nor_writes_the_file(registry: Registry) -> None:
    clock = registry.clock
    assert isinstance(clock, Clock)
    former = registry.lease.acquire("former", 5)
    clock.forward(6)
    assert registry.lease.acquire("leader", 5) is not None
    with pytest.raises(StopError, match="no longer the leader"):
        registry.compact(fencing_token=former)
    clock.forward(6)
    assert registry.lease.acquire("former", 5) is not None


def test_a_large_file_and_a_standby_that_asks_without_a_pause(url: str) -> None:
    """A real VACUUM, for which six leases pass by the clock."""
    clock = Clock()
    with Registry.open(url, clock=clock) as leader, Registry.open(url, clock=clock) as other:
        add_version(leader, learnt=[f"example-{number:040}" for number in range(60_000)])
        size = leader.database.size_bytes()
        with leader.database.write() as connection:
            connection.execute(sa.delete(schema.learnt))
        token = leader.lease.acquire("leader", 5)
        assert token is not None
        standby = Lease(other.database, clock, steady=lambda: 0.0)
        done, taken = threading.Event(), []

        def ask() -> None:
            while not done.is_set() and not taken:
                if (found := standby.acquire("standby", 5)) is not None:
                    taken.append(found)

        asking = threading.Thread(target=ask)
        vacuum = leader.database.vacuum

        def slow() -> None:
            asking.start()
            clock.forward(30)
            vacuum()

        leader.database.vacuum = slow  # type: ignore[method-assign]  # a slow disk
        leader.compact(fencing_token=token)
        done.set()
        asking.join(60)
        assert leader.lease.renew("leader", token, 5)
        assert (taken, leader.lease.holder()) == ([], "leader")
        assert leader.database.size_bytes() < size / 2
