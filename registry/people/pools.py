"""Pairs of models that nobody could choose between: the pool that both answered, and what people are asked of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from config.clock import Clock
from registry.database.engine import Database, insert_many
from registry.database.schema import pools, review_requests
from registry.events.outbox import Outbox
from registry.judging.pair_tests import BegunTest
from registry.leases import check_token
from trainers.compare.sequential.look import Look

PoolState = Literal["answering", "open", "closed"]
Outcome = Literal["promoted", "kept", "undecided", "superseded", "expired", "collected", "empty", "alike", "failed", "turned_off"]


@dataclass(frozen=True, slots=True)
class Pool:
    """A candidate and the champion it was compared with, and the articles that both answer."""

    pool_id: str
    task: str
    run_id: str
    candidate: str
    champion: str
    seed: int
    """Of the draws: which articles, and which of them are asked about in what order."""
    state: PoolState
    created_at: datetime
    opened_at: datetime | None
    asked_at: datetime | None
    """When the newest batch was asked for."""
    closed_at: datetime | None
    outcome: Outcome | None
    reason: str
    rows: int
    """Articles that both have answered."""
    differ: int
    """Those of them that they answer differently."""
    sizes: tuple[int, ...]
    """Articles of each stratum."""
    bounds: tuple[float, ...]
    """From which size of a difference on answers are of the second stratum, the third, and so on; none: alike, and not."""
    batches: int
    """Batches that were asked for."""
    looks: int
    """How often answers were judged."""
    test: BegunTest | None = None
    """None before the first look, and of pools of releases without such tests."""

    @property
    def disagreement(self) -> float:
        """The share of the articles that the models answer differently, 0..1."""
        return self.differ / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class ReviewRequest:
    """One text of a pool that people are asked about."""

    request_id: str
    pool_id: str
    task: str
    text_sha256: str | None
    """None where the text was erased or the pair is decided."""
    stratum: int
    inclusion: float
    """The probability with which it was drawn, of all batches together."""
    batch: int
    asked_at: datetime | None
    skips: int
    """How often somebody passed it over."""
    cannot_tell: int
    """How often somebody could not tell what is right."""
    gone: bool
    """Whether its text was erased or is too old to be kept."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A row of a pool that was drawn."""

    text_sha256: str
    stratum: int
    inclusion: float
    batch: int


class Pools:
    """The pools and their requests. One pool of a task at most is not closed."""

    def __init__(self, database: Database, clock: Clock, outbox: Outbox) -> None:
        self._database = database
        self._clock = clock
        self._outbox = outbox

    def want(
        self, *, task: str, run_id: str, candidate: str, champion: str, seed: int, fencing_token: int | None = None
    ) -> Pool:  # fmt: skip
        """Record that a pair is to be answered; a run that has a pool keeps it."""
        with self._database.write() as connection:
            check_token(connection, fencing_token)
            known = _select(connection, pools.c.run_id == run_id)
            if not known:
                connection.execute(
                    sa.insert(pools).values(
                        pool_id=f"pool-{run_id}", task=task, run_id=run_id, candidate=candidate, champion=champion, seed=seed,
                        state="answering", created_at=self._clock(), reason="", rows=0, differ=0, sizes=[], bounds=[], batches=0,
                        looks=0,
                    )
                )  # fmt: skip
                known = _select(connection, pools.c.run_id == run_id)
            return known[0]

    def find(self, pool_id: str) -> Pool | None:
        """Return a pool, None where there is no such one."""
        with self._database.read() as connection:
            return next(iter(_select(connection, pools.c.pool_id == pool_id)), None)

    def unclosed(self) -> list[Pool]:
        """Return the pools that are answered or asked about, oldest first."""
        with self._database.read() as connection:
            return _select(connection, pools.c.state != "closed")

    def of_task(self, task: str) -> list[Pool]:
        """Return a task's pools, oldest first."""
        with self._database.read() as connection:
            return _select(connection, pools.c.task == task)

    def requests(self, pool_id: str) -> list[ReviewRequest]:
        """Return the requests of a pool in the order of the draw."""
        with self._database.read() as connection:
            return _requests(connection, review_requests.c.pool_id == pool_id)

    def asked(self, task: str) -> list[ReviewRequest]:
        """Return what people are asked of a task now, in the order of the draw."""
        table = review_requests.c
        where = table.pool_id.in_(_open_pools(task)) & table.asked_at.is_not(None) & table.text_sha256.is_not(None)
        with self._database.read() as connection:
            return _requests(connection, where)

    def kept_texts(self, task: str) -> frozenset[str]:
        """Return the SHA-256 of the texts drawn for a task's open pools, of batches to come too."""
        table = review_requests.c
        texts = sa.select(table.text_sha256).where(table.pool_id.in_(_open_pools(task)), table.text_sha256.is_not(None))
        with self._database.read() as connection:
            return frozenset(connection.execute(texts).scalars())

    def open(
        self, pool_id: str, *, rows: int, differ: int, sizes: Sequence[int], bounds: Sequence[float], drawn: Sequence[Drawn],
        fencing_token: int | None = None,
    ) -> None:  # fmt: skip
        """Record what both models answered and which rows were drawn, in the order in which they are asked about."""
        with self._database.write() as connection:
            check_token(connection, fencing_token)
            [pool] = _select(connection, pools.c.pool_id == pool_id)
            if pool.state != "answering":
                return
            values = [
                {
                    "request_id": f"{pool_id}-{number}", "pool_id": pool_id, "task": pool.task, "text_sha256": one.text_sha256,
                    "stratum": one.stratum, "inclusion": one.inclusion, "batch": one.batch, "asked_at": None, "skips": 0,
                    "cannot_tell": 0, "gone": False,
                }
                for number, one in enumerate(drawn)
            ]  # fmt: skip
            insert_many(connection, review_requests, values)
            connection.execute(
                sa.update(pools)
                .where(pools.c.pool_id == pool_id)
                .values(state="open", opened_at=self._clock(), rows=rows, differ=differ, sizes=list(sizes), bounds=list(bounds))
            )

    def ask(self, pool_id: str, batch: int, event: Mapping[str, Any], *, fencing_token: int | None = None) -> list[ReviewRequest]:
        """Ask for a batch (from 0), and queue the event that says so in the same transaction; return its requests.

        `event` gets `requests`, their ids. A batch that was asked for before is left as it is.
        """
        with self._database.write() as connection:
            check_token(connection, fencing_token)
            [pool] = _select(connection, pools.c.pool_id == pool_id)
            of_batch = (review_requests.c.pool_id == pool_id) & (review_requests.c.batch == batch)
            found = _requests(connection, of_batch & review_requests.c.text_sha256.is_not(None))
            if batch < pool.batches:
                return found
            now = self._clock()
            connection.execute(sa.update(review_requests).where(of_batch).values(asked_at=now))
            connection.execute(sa.update(pools).where(pools.c.pool_id == pool_id).values(batches=batch + 1, asked_at=now))
            # No text and no hash of one: those would outlast an erasure in whatever log the event goes to.
            self._outbox.add({**event, "requests": [one.request_id for one in found]}, connection=connection)
            return _requests(connection, of_batch & review_requests.c.text_sha256.is_not(None))

    def note(self, request_id: str, what: Literal["skips", "cannot_tell"]) -> None:
        """Count that somebody passed a request over, or could not tell."""
        column = review_requests.c[what]
        with self._database.write() as connection:
            where = review_requests.c.request_id == request_id
            connection.execute(sa.update(review_requests).where(where).values({what: column + 1}))

    def lost(self, request_ids: Collection[str], *, fencing_token: int | None = None) -> None:
        """Record that the texts of requests are stored no more, and forget which they were."""
        with self._database.write() as connection:
            check_token(connection, fencing_token)
            where = review_requests.c.request_id.in_(sorted(request_ids))
            connection.execute(sa.update(review_requests).where(where).values(text_sha256=None, gone=True))

    def begin_test(self, pool_id: str, planned: float, *, fencing_token: int | None = None) -> BegunTest:
        """Return the test of a pair, with a level from what is left of the task's allowance; one that was begun goes on."""
        with self._database.write() as connection:
            check_token(connection, fencing_token)
            [pool] = _select(connection, pools.c.pool_id == pool_id)
            if pool.test is not None:
                return pool.test
            others = [one.test for one in _select(connection, (pools.c.task == pool.task) & pools.c.test.is_not(None))]
            last = max((one for one in others if one is not None), key=lambda one: one.day, default=None)
            test = BegunTest.begun(last, planned, self._clock())
            connection.execute(sa.update(pools).where(pools.c.pool_id == pool_id).values(test=test.as_json()))
            return test

    def looked(
        self, pool_id: str, looks: int, look: Look | None = None, *, within: Connection | None = None,
        fencing_token: int | None = None,
    ) -> None:  # fmt: skip
        """Record that the answers so far have been judged so often, and the look of the pair's test where it was one.

        In the transaction `within` when given, else only while `fencing_token` leads.
        """
        with self._database.write(within) as connection:
            check_token(connection, fencing_token)
            [pool] = _select(connection, pools.c.pool_id == pool_id)
            test = None if pool.test is None else pool.test.with_look(look).as_json()
            connection.execute(sa.update(pools).where(pools.c.pool_id == pool_id).values(looks=looks, test=test))

    def close(self, pool_id: str, outcome: Outcome, reason: str, *, fencing_token: int | None = None) -> None:
        """End a pool: nobody is asked any more, and which texts it asked about is forgotten. A closed one stays as it is."""
        with self._database.write() as connection:
            check_token(connection, fencing_token)
            chosen = (pools.c.pool_id == pool_id) & (pools.c.state != "closed")
            values = {"state": "closed", "closed_at": self._clock(), "outcome": outcome, "reason": reason}
            if connection.execute(sa.update(pools).where(chosen).values(**values)).rowcount:
                of_pool = review_requests.c.pool_id == pool_id
                connection.execute(sa.update(review_requests).where(of_pool).values(text_sha256=None))


def look_name(run_id: str, number: int) -> str:
    """Return under what name a look at the labels of a pool, from 1, is counted beside the looks of runs."""
    return f"{run_id}:look-{number}"


def needed(connection: Connection) -> frozenset[str]:
    """Return the versions whose files must stay, because people are asked to choose between them."""
    rows = connection.execute(sa.select(pools.c.candidate, pools.c.champion).where(pools.c.state != "closed"))
    return frozenset(name for row in rows for name in row)


def _select(connection: Connection, where: sa.ColumnElement[bool]) -> list[Pool]:
    rows = connection.execute(sa.select(pools).where(where).order_by(pools.c.id)).mappings()
    return [
        Pool(
            **{name: value for name, value in row.items() if name != "id"}
            | {"sizes": tuple(row["sizes"]), "bounds": tuple(row["bounds"]), "test": BegunTest.of_json(row["test"])}
        )
        for row in rows
    ]


def _open_pools(task: str) -> sa.Select[Any]:
    return sa.select(pools.c.pool_id).where(pools.c.task == task, pools.c.state == "open")


def _requests(connection: Connection, where: sa.ColumnElement[bool]) -> list[ReviewRequest]:
    rows = connection.execute(sa.select(review_requests).where(where).order_by(review_requests.c.id)).mappings()
    return [ReviewRequest(**{name: value for name, value in row.items() if name != "id"}) for row in rows]
