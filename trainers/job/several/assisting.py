"""The processes beside the first: each carries the order out up to the end of the tuning, in its share, and writes nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from pydantic import ValidationError

from trainers.job import guards, run, steps
from trainers.job import spec as job_spec
from trainers.job.several import results
from trainers.job.spec import JobResult, JobSpec
from trainers.learners.tuning.processes import LeftError, Processes

_LOG = structlog.get_logger(__name__)


def assist(order: Mapping[str, Any], stop: guards.StopRequest, run_dir: Path, together: Processes) -> int:
    """Take part in the run of the order in `run_dir` and return the exit code."""
    try:
        spec = job_spec.spec_of(order, run_dir)
    except ValidationError as error:
        _LOG.error("order_refused", problem=str(error))
        return job_spec.EXIT_FAILED
    structlog.contextvars.bind_contextvars(run_id=spec.run_id, task=spec.task.name, process=together.rank + 1)
    limit_mib = spec.training.memory_limit_mib

    def give_up(in_use_mib: float) -> None:
        detail = f"{in_use_mib:.0f} MiB in use of {limit_mib}, its share of training.memory_limit_mib"
        os._exit(_finish(spec, together, run.out_of_memory(spec, detail)))

    def work() -> JobResult:
        try:
            steps.assist(spec, stop)
        except LeftError as left:
            _LOG.info("process_left", message=str(left))
        return JobResult(run_id=spec.run_id, status="done")

    guards.limit_data(limit_mib)
    with guards.watch(limit_mib, give_up):
        result = run.outcome_of(spec, work)
    return _finish(spec, together, result)


def _finish(spec: JobSpec, together: Processes, result: JobResult) -> int:
    if result.status == "done":
        return job_spec.EXIT_DONE
    told = f"process {together.rank + 1} of {together.count}: {result.error}"
    _LOG.error("process_failed", status=result.status, error=result.error)
    # One that lost the others is no cause, and a stop is the first one's to tell.
    if result.status != "stopped" and not run.lost_others(result):
        results.write(result.model_copy(update={"error": told}), spec.run_dir, together.rank)
    return run.EXIT_CODES[result.status]
