"""The edge of a child in which two models answer: whatever happens inside becomes a `PairResult` and an exit code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from pydantic import ValidationError

from config.errors import PerennialError
from trainers.job import guards
from trainers.pair import answering, judging, order
from trainers.pair.order import PairResult

_LOG = structlog.get_logger(__name__)


def run(content: Mapping[str, Any], stop: guards.StopRequest, folder: Path) -> int:
    """Execute the order in `folder` within its limits, write the result there and return the exit code."""
    try:
        given = order.order_of(content)
    except ValidationError as error:
        _LOG.error("order_refused", problem=str(error))
        return order.EXIT_FAILED
    structlog.contextvars.bind_contextvars(pool=given.pool_id, task=given.task.name)
    limit_mib = given.training.memory_limit_mib

    def give_up(in_use_mib: float) -> None:
        error = f"out of memory: {in_use_mib:.0f} MiB in use, training.memory_limit_mib is {limit_mib}"
        order.write_result(PairResult(pool_id=given.pool_id, status="failed", error=error), folder)
        # The main thread may be deep inside an allocation; nothing it holds needs to be closed.
        os._exit(order.EXIT_FAILED)

    guards.limit_data(limit_mib)
    guards.wake_collector()
    with guards.watch(limit_mib, give_up):
        result = _carried_out(given, stop, folder)
    order.write_result(result, folder)
    codes = {"done": order.EXIT_DONE, "failed": order.EXIT_FAILED, "stopped": order.EXIT_STOPPED}
    return codes[result.status]


def _carried_out(given: order.PairOrder, stop: guards.StopRequest, folder: Path) -> PairResult:
    work = answering.answer if given.mode == "answer" else judging.judge
    try:
        return work(given, stop, folder)
    except guards.StoppedError as stopped:
        return PairResult(pool_id=given.pool_id, status="stopped", error=str(stopped))
    except PerennialError as error:
        return PairResult(pool_id=given.pool_id, status="failed", error=str(error))
    except Exception as error:  # noqa: BLE001 - the edge of the process
        _LOG.exception("pair_failed")
        return PairResult(pool_id=given.pool_id, status="failed", error=f"{type(error).__name__}: {error}")
