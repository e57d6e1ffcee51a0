"""The edge of a training child: whatever happens inside becomes a `JobResult`, a last line of progress and an exit code."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from pydantic import ValidationError

from config.errors import PerennialError
from trainers.job import guards
from trainers.job import spec as job_spec
from trainers.job import steps as job_steps
from trainers.job.passing import OTHERS_LOST, cause_that_passes, causes, is_allocation_failure
from trainers.job.progress import ProgressLog, claim_standard_output
from trainers.job.spec import JobResult, JobSpec

_LOG = structlog.get_logger(__name__)
EXIT_CODES = {
    "done": job_spec.EXIT_DONE,
    "failed": job_spec.EXIT_FAILED,
    "out_of_memory": job_spec.EXIT_OUT_OF_MEMORY,
    "try_later": job_spec.EXIT_TRY_LATER,
    "stopped": job_spec.EXIT_STOPPED,
}


def run(order: dict[str, Any], stop: guards.StopRequest, run_dir: Path) -> int:
    """Execute the order in `run_dir` within its limits, write `result.json` there and return the exit code."""
    try:
        spec = job_spec.spec_of(order, run_dir)
    except ValidationError as error:
        _LOG.error("order_refused", problem=str(error))
        return job_spec.EXIT_FAILED
    structlog.contextvars.bind_contextvars(run_id=spec.run_id, task=spec.task.name)
    (spec.run_dir / job_spec.RESULT_FILE).unlink(missing_ok=True)
    progress = ProgressLog(spec.run_id, spec.run_dir / job_spec.HISTORY_FILE, claim_standard_output())
    limit_mib = spec.training.memory_limit_mib

    def give_up(in_use_mib: float) -> None:
        detail = f"{in_use_mib:.0f} MiB in use, training.memory_limit_mib is {limit_mib}"
        # The main thread may be deep inside an allocation; nothing it holds needs to be closed.
        os._exit(finish(spec, progress, out_of_memory(spec, detail)))

    guards.limit_data(limit_mib)
    with guards.watch(limit_mib, give_up):
        result = outcome_of(spec, lambda: job_steps.execute(spec, stop, progress))
    return finish(spec, progress, result)


def outcome_of(spec: JobSpec, work: Callable[[], JobResult]) -> JobResult:
    """Return what `work` returns, or what its failure means for the run."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - the edge of the process
        for each in causes(error):
            if isinstance(each, guards.StoppedError):
                return JobResult(run_id=spec.run_id, status="stopped", error=str(each))
            if is_allocation_failure(each):
                return out_of_memory(spec, f"{type(each).__name__}: {each}")
        if (passing := cause_that_passes(error)) is not None:
            _LOG.exception("training_cannot_go_on", cause=passing)
            told = str(error) if isinstance(error, PerennialError) else f"{type(error).__name__}: {error}"
            return JobResult(run_id=spec.run_id, status="try_later", error=f"{passing}: {told}" if passing not in told else told)
        if isinstance(error, PerennialError):
            return JobResult(run_id=spec.run_id, status="failed", error=str(error))
        _LOG.exception("training_failed", batch_size=spec.batch_size)
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = (
            f"an unexpected {type(error).__name__} ended the run: {error} ({Path(where.filename).name}, line {where.lineno}). "
            "The champion is unchanged; the run's log has the traceback"
        )
        return JobResult(run_id=spec.run_id, status="failed", error=message)


def lost_others(result: JobResult) -> bool:
    """Return whether a process failed only because another one of its run had ended."""
    return (result.error or "").startswith(OTHERS_LOST)


def finish(spec: JobSpec, progress: ProgressLog, result: JobResult) -> int:
    """Write the result of a run and its last line of progress, and return the exit code."""
    result = result.model_copy(update={"peak_memory_mib": guards.peak_memory_mib()})
    job_spec.write_result(result, spec.run_dir)
    _LOG.info("job_finished", status=result.status, error=result.error)
    if result.status == "done":
        progress.write("done", message=f"trained in {result.train_s:.1f} s, scored in {result.score_s:.1f} s")
    elif result.status != "stopped":
        progress.write("failed", message=result.error or "")
    return EXIT_CODES[result.status]


def out_of_memory(spec: JobSpec, detail: str) -> JobResult:
    """Return what a run comes to that got no memory."""
    message = f"out of memory at batch size {job_spec.rows_held(spec)} ({detail})"
    return JobResult(run_id=spec.run_id, status="out_of_memory", error=message)
