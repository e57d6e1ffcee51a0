"""Both models of a pair answer the frozen pool; what was answered before a stop is not asked again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pyarrow.parquet as pq

from config.errors import RunFailedError
from config.files import durable
from config.tasks import TaskSpec
from daemon.training.pools.pair import Pair
from registry.people.pools import Drawn, Pool
from trainers.pair import order as protocol
from trainers.pair.order import PairOrder, PairResult

_SECONDS = 600.0
"""A pool is answered for so long at most; what is left of it counts as not drawn."""
_DAYS_A_WEEK = 7.0


def answered(pair: Pair, pool: Pool, task: TaskSpec, busy: Callable[[], bool]) -> PairResult | None:
    """Return what both models answer and which rows were drawn; None where something more urgent is due.

    Raises `RunFailedError` where the child fails.
    """
    folder = pair.folder(pool)
    rows = folder / protocol.POOL_FOLDER / protocol.ROWS_FILE
    if protocol.read_order(folder) is None or not rows.exists():
        erasings = pair.buffer.erasings
        found = pair.buffer.frozen_pool(task, learnt=pair.learnt(pool), most=task.review.pool_rows, seed=pool.seed)
        if not found.num_rows:
            return PairResult(pool_id=pool.pool_id, status="done")
        folder = pair.begun(pool)
        rows.parent.mkdir()
        pq.write_table(found, rows)
        durable.sync_tree(folder)
        pair.check(erasings)
        # Written last: a folder without an order is not whole.
        protocol.write_order(_order(pair, pool, task), folder)
    result = pair.carry_out(_order(pair, pool, task), folder, busy)
    if result is not None and result.status != "done":
        message = f"pool {pool.pool_id} could not be answered: {result.error}"
        raise RunFailedError(message)
    return result


def drawn(found: PairResult) -> Sequence[Drawn]:
    """Return the drawn rows as the registry keeps them."""
    return [Drawn(one.text_sha256, one.stratum, one.inclusion, one.batch) for one in found.drawn]


def _order(pair: Pair, pool: Pool, task: TaskSpec) -> PairOrder:
    review = task.review
    return PairOrder(
        pool_id=pool.pool_id, task=task, training=pair.settings.training, mode="answer", seed=pool.seed, seconds=_SECONDS,
        labels=review.per_week * math.ceil(review.days / _DAYS_A_WEEK), per_batch=review.per_week,
        modules=pair.settings.extensions.names,
    )  # fmt: skip
