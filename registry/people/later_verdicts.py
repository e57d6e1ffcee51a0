"""The verdict of a later look at a pair of models: recorded with the look itself and with what apps hear of it, or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from registry.leases import check_token
from registry.people.pools import Pool
from registry.runs import Run, Verdict
from registry.store import Registry
from trainers.compare.sequential.look import Look


def record(
    registry: Registry, pool: Pool, look: Look | None, *, verdict: Verdict, reasons: Sequence[str], comparison: dict[str, Any],
    event: Mapping[str, Any] | None, fencing_token: int | None = None,
) -> Run:  # fmt: skip
    """Record what a look at all batches of a pool so far has found; return the pool's run with it.

    `look` is what the pair's test counts, None where it was none; `event` goes out, None: nobody is told.
    """
    with registry.database.write() as connection:
        check_token(connection, fencing_token)
        if event is not None:
            registry.outbox.add(event, connection=connection)
        registry.pools.looked(pool.pool_id, pool.batches, look, within=connection)
        return registry.runs.update(
            pool.run_id, within=connection, verdict=verdict, reasons=tuple(reasons), comparison=comparison
        )
