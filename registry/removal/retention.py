"""What of the registry's records goes with time: what no champion, no run under way and no later decision needs.

Versions, alias moves and the names of API keys stay for good: a few hundred bytes each, and every answer ever given names one.
In portions, each a transaction of its own, so that nobody waits for more than moments.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from registry.database.engine import portions
from registry.database.schema import (
    FINISHED_STATES,
    api_keys,
    desk,
    learnt,
    looks,
    outbox,
    pools,
    review_requests,
    run_triggers,
    runs,
    versions,
)  # fmt: skip
from registry.leases import check_token
from registry.people.pools import look_name
from registry.store import Registry

_PORTION = 5_000
_ALLOWANCE_REFILLS = timedelta(days=366)
_KEPT_RUNS = 20
"""Of each task, whatever their age: what status and the trigger policy go by."""


def forget_sent(registry: Registry, before: datetime, *, fencing_token: int | None = None) -> int:
    """Remove outgoing events that were sent before a moment; return how many. Those that wait are never touched.

    The newest stays: SQLite numbers the next row by it, and readers go by these numbers.
    """
    newest = sa.select(sa.func.max(outbox.c.id)).scalar_subquery()
    old = sa.select(outbox.c.id).where(outbox.c.sent_at < before, outbox.c.id < newest).limit(_PORTION)
    return _in_portions(registry, sa.delete(outbox).where(outbox.c.id.in_(old)), fencing_token)


def forget_desk(registry: Registry, before: datetime, *, fencing_token: int | None = None) -> int:
    """Remove what people did at the desk before a moment, skips too; return how much. Their answers are stored long since."""
    old = sa.select(desk.c.id).where(desk.c.at < before).limit(_PORTION)
    return _in_portions(registry, sa.delete(desk).where(desk.c.id.in_(old)), fencing_token)


def forget_looks(registry: Registry, before: datetime, *, fencing_token: int | None = None) -> int:
    """Remove the counts of comparisons of runs that ended before a moment; return how many rows.

    A held-out row that such a run looked at must be gone from the buffer by then, or it would count as never looked at.
    """
    ended = sa.select(runs.c.run_id).where(runs.c.finished_at < before)
    old = sa.select(looks.c.run_id, looks.c.example_id).where(looks.c.run_id.in_(ended)).limit(_PORTION)
    return _in_portions(registry, sa.delete(looks).where(sa.tuple_(looks.c.run_id, looks.c.example_id).in_(old)), fencing_token)


def forget_pools(registry: Registry, before: datetime, *, fencing_token: int | None = None) -> int:
    """Remove pools that were closed before a moment, with their requests and the counts of their looks; return how many pools.

    What a pair's test took of its task's allowance counts for a year: such a pool stays for as long.
    """
    spent_before = min(before, registry.clock() - _ALLOWANCE_REFILLS)
    with registry.database.write() as connection:
        check_token(connection, fencing_token)
        closed = (pools.c.closed_at < before) & (pools.c.test.is_(None) | (pools.c.closed_at < spent_before))
        old = connection.execute(sa.select(pools.c.pool_id, pools.c.run_id, pools.c.looks).where(closed).limit(_PORTION)).all()
        for some in portions([row.pool_id for row in old]):
            connection.execute(sa.delete(review_requests).where(review_requests.c.pool_id.in_(some)))
            connection.execute(sa.delete(pools).where(pools.c.pool_id.in_(some)))
        for some in portions([look_name(row.run_id, number) for row in old for number in range(1, row.looks + 1)]):
            connection.execute(sa.delete(looks).where(looks.c.run_id.in_(some)))
    return len(old)


def forget_lineage(registry: Registry, before: datetime, *, fencing_token: int | None = None) -> int:
    """Remove what versions had learnt whose files were removed before a moment; return how many rows.

    Never of a version that one with files, such as a champion, went on from: what that one has learnt must stay known.
    """
    needed: set[int] = set()
    gone: list[int] = []
    with registry.database.read() as connection:
        columns = sa.select(versions.c.id, versions.c.parent_id, versions.c.collected_at)
        # Children before their parents.
        for row in connection.execute(columns.order_by(versions.c.id.desc())):
            if row.collected_at is None or row.id in needed:
                needed.add(row.parent_id)
            elif row.collected_at < before:
                gone.append(row.id)
    key = (learnt.c.version_id, learnt.c.example_id)
    old = sa.select(*key).where(learnt.c.version_id.in_(gone)).limit(_PORTION)
    return _in_portions(registry, sa.delete(learnt).where(sa.tuple_(*key).in_(old)), fencing_token) if gone else 0


def old_runs(registry: Registry, before: datetime) -> Sequence[str]:
    """Return the ids of runs that ended before a moment and that nothing needs any more, oldest first.

    Kept are the newest of each task, those whose version has its files, and the one whose rows reached furthest.
    """
    ended = runs.c.state.in_(FINISHED_STATES) & (runs.c.finished_at < before)
    with_files = sa.select(versions.c.run_id).where(versions.c.collected_at.is_(None))
    with registry.database.read() as connection:
        found = connection.execute(
            sa.select(runs.c.run_id, runs.c.task).where(ended, runs.c.run_id.not_in(with_files)).order_by(runs.c.id)
        )
        old = [(row.run_id, row.task) for row in found]
        kept: set[str] = set()
        for task in {task for _, task in old}:
            of_task = sa.select(runs.c.run_id).where(runs.c.task == task)
            kept.update(connection.execute(of_task.order_by(runs.c.id.desc()).limit(_KEPT_RUNS)).scalars())
            kept.update(connection.execute(of_task.order_by(runs.c.max_seq.desc()).limit(1)).scalars())
    return [run_id for run_id, _ in old if run_id not in kept]


def forget_runs(registry: Registry, run_ids: Sequence[str], *, fencing_token: int | None = None) -> int:
    """Remove the records of these runs, with their looks and what they served; their folders must be gone.

    Returns how many runs.
    """
    for start in range(0, len(run_ids), _PORTION):
        some = run_ids[start : start + _PORTION]
        with registry.database.write() as connection:
            check_token(connection, fencing_token)
            connection.execute(sa.delete(looks).where(looks.c.run_id.in_(some)))
            connection.execute(sa.delete(run_triggers).where(run_triggers.c.run_id.in_(some)))
            connection.execute(sa.delete(runs).where(runs.c.run_id.in_(some), runs.c.state.in_(FINISHED_STATES)))
    return len(run_ids)


def forget_use_of_keys(registry: Registry, before: datetime, *, fencing_token: int | None = None) -> int:
    """Forget when keys were last used that were revoked, or ran out, before a moment; return how many. Their names stay taken."""
    worthless = (api_keys.c.revoked_at < before) | (api_keys.c.expires_at < before)
    with registry.database.write() as connection:
        check_token(connection, fencing_token)
        used = worthless & api_keys.c.last_used_at.is_not(None)
        result: Any = connection.execute(sa.update(api_keys).where(used).values(last_used_at=None))
        forgotten: int = result.rowcount
        return forgotten


def _in_portions(registry: Registry, statement: sa.Delete, fencing_token: int | None) -> int:
    removed: int = 0
    while True:
        with registry.database.write() as connection:
            check_token(connection, fencing_token)
            result: Any = connection.execute(statement)
        removed += result.rowcount
        if result.rowcount < _PORTION:
            return removed
