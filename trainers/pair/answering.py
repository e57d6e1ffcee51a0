"""Both models answer the pool, part by part; then rows of it are drawn, by the order's seed, for people to label."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from trainers.compare import apart
from trainers.compare.sampling.inclusion import Floats
from trainers.job.guards import StopRequest
from trainers.pair.drawing import draw
from trainers.pair.models import BothModels
from trainers.pair.order import ANSWERS_FOLDER, POOL_FOLDER, ROWS_FILE, DrawnRow, PairOrder, PairResult
from trainers.parquet import write_table

_ROWS_PER_PART = 256
_ROWS_PER_BATCH = 32

_LOG = structlog.get_logger(__name__)


def answer(order: PairOrder, stop: StopRequest, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> PairResult:
    """Return how often the models differ and which rows were drawn.

    What an earlier child has answered is not asked again. After `order.seconds` the rest of the pool is left out: it is in random
    order, so its first part is a random sample as well. Raises `StoppedError` when a signal came.
    """
    rows = pq.read_table(folder / POOL_FOLDER / ROWS_FILE, use_threads=False)
    sizes = _sizes(order, stop, folder, rows, until=clock() + order.seconds, clock=clock)
    hashes = rows["text_sha256"].to_pylist()[: len(sizes)]
    found = draw(
        sizes, numbers=apart.by_size(order.task), labels=order.labels, agreements=order.task.review.agreements_share,
        seed=order.seed,
    )  # fmt: skip
    drawn = tuple(
        DrawnRow(
            text_sha256=hashes[row], stratum=int(found.strata[row]), inclusion=float(found.inclusion[row]),
            batch=place // order.per_batch,
        )
        for place, row in enumerate(found.rows.tolist())
    )  # fmt: skip
    differ = int(np.count_nonzero(sizes > 0.0))
    _LOG.info("pool_answered", rows=len(sizes), of=rows.num_rows, differ=differ, drawn=len(drawn))
    return PairResult(
        pool_id=order.pool_id, status="done", rows=len(sizes), differ=differ, sizes=found.sizes, bounds=found.bounds, drawn=drawn
    )


def _sizes(
    order: PairOrder, stop: StopRequest, folder: Path, rows: pa.Table, *, until: float, clock: Callable[[], float]
) -> Floats:
    """Return how far apart both answers to each row are; of fewer rows where time ran out."""
    parts = folder / ANSWERS_FOLDER
    parts.mkdir(exist_ok=True)
    texts = rows["text"].to_pylist()
    models: BothModels | None = None
    found: list[Floats] = []
    for number, start in enumerate(range(0, len(texts), _ROWS_PER_PART)):
        path = parts / f"part-{number:05d}.parquet"
        if not path.exists():
            stop.check()
            if clock() > until and found:
                break
            models = models or BothModels.open(order, folder)
            write_table(_part(order, stop, models, texts[start : start + _ROWS_PER_PART]), path)
        found.append(pq.read_table(path, use_threads=False)["apart"].to_numpy())
    return np.concatenate(found) if found else np.empty(0)


def _part(order: PairOrder, stop: StopRequest, models: BothModels, texts: list[str]) -> pa.Table:
    sizes: list[float] = []
    for start in range(0, len(texts), _ROWS_PER_BATCH):
        stop.check()
        sizes += [apart.apart(order.task, *both) for both in models.answers(texts[start : start + _ROWS_PER_BATCH])]
    return pa.table({"apart": pa.array(sizes, pa.float64())})
