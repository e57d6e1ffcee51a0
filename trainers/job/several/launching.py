"""Start the processes of a run by torch's own launcher (`torchrun`), wait for them, and say how the run ended.

All carry out the same order. This process, which the daemon has started, only waits; the first of its children reports progress.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from pydantic import ValidationError
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from config.errors import UserError
from trainers import hardware, orphans
from trainers.job import guards, run
from trainers.job import spec as job_spec
from trainers.job.progress import ProgressLog, claim_standard_output
from trainers.job.several import results
from trainers.job.spec import JobResult, JobSpec

# -P as the daemon starts a child.
_CHILD = ("-P", "-m", "trainers.job")
_CRASHES = frozenset({-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS})

_LOG = structlog.get_logger(__name__)


def launch(order: Mapping[str, Any], stop: guards.StopRequest, path: Path, *, count: int) -> int:
    """Carry out the order in the file `path` in `count` processes and return the exit code; the result is written by then."""
    run_dir = path.resolve().parent
    try:
        spec = job_spec.spec_of(order, run_dir)
    except ValidationError as error:
        _LOG.error("order_refused", problem=str(error))
        return job_spec.EXIT_FAILED
    structlog.contextvars.bind_contextvars(run_id=spec.run_id, task=spec.task.name)
    (run_dir / job_spec.RESULT_FILE).unlink(missing_ok=True)
    results.forget(run_dir)
    try:
        _refuse_too_many(spec, count)
        stop.check()
        codes = _started(spec, path, count)
    except UserError as error:
        return _end(spec, JobResult(run_id=spec.run_id, status="failed", error=str(error)))
    except (guards.StoppedError, SignalException):
        said = job_spec.read_result(run_dir)
        return _end(spec, said or JobResult(run_id=spec.run_id, status="stopped", error="stopped before it was done"), said=said)
    said = job_spec.read_result(run_dir)
    return _end(spec, _found(spec, said, codes, count), said=said)


def _refuse_too_many(spec: JobSpec, count: int) -> None:
    device = hardware.resolve(spec.training, backend=spec.task.backend).device
    there = hardware.most_processes(device)
    if count > there:
        what = "GPUs" if device == "cuda" else "cores"
        message = (
            f"training.processes is {count}, and this machine has {there} {what} to use, one for each; nothing was trained. "
            f"Set it to {there} or less in the task file"
        )
        raise UserError(message)


def _started(spec: JobSpec, path: Path, count: int) -> Mapping[int, int]:
    """Run the processes to their end; return the exit codes of those that failed first, by rank. Raises `SignalException`."""
    os.environ[orphans.PARENT_VARIABLE] = str(os.getpid())
    if sys.platform == "linux":
        # All are on this machine: what they tell one another need not leave it.
        for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.setdefault(variable, "lo")
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=count, run_id=spec.run_id, rdzv_backend="c10d", rdzv_endpoint="localhost:0",
        local_addr="localhost", max_restarts=0, monitor_interval=0.1,
        shutdown_timeout=max(1, int(spec.training.stop_grace_s / 2)),
    )  # fmt: skip
    _LOG.info("processes_started", count=count)
    try:
        elastic_launch(config, sys.executable)(*_CHILD, str(path))
    except ChildFailedError as error:
        return {rank: failure.exitcode for rank, failure in error.failures.items()}
    return {}


def _found(spec: JobSpec, said: JobResult | None, codes: Mapping[int, int], count: int) -> JobResult:
    """Return how the run ended: what made the first process fail may have happened in another one."""
    for rank, code in sorted(codes.items()):
        killed = code == -signal.SIGKILL
        if killed or (code in _CRASHES and spec.training.memory_limit_mib):
            how = f"killed by {signal.Signals(-code).name}" if killed else f"crashed ({signal.Signals(-code).name})"
            message = f"process {rank + 1} of {count} was {how} (usually: out of memory) at batch size {job_spec.rows_held(spec)}"
            return JobResult(run_id=spec.run_id, status="out_of_memory", error=message)
    if codes and (beside := results.worst(spec.run_dir)) is not None:
        return beside
    # One that another's end has stopped, or that misses another, does not say why.
    if said is not None and not (codes and (said.status == "stopped" or run.lost_others(said))):
        return said
    ended = ", ".join(f"process {rank + 1} of {count} ended with code {code}" for rank, code in sorted(codes.items()))
    message = f"{ended or 'the processes ended'} and left no result; the run's log says more"
    return JobResult(run_id=spec.run_id, status="try_later", error=message)


def _end(spec: JobSpec, result: JobResult, *, said: JobResult | None = None) -> int:
    """Write the result where it is not what the first process `said`; return the exit code."""
    if result == said:
        return run.EXIT_CODES[result.status]
    progress = ProgressLog(spec.run_id, spec.run_dir / job_spec.HISTORY_FILE, claim_standard_output())
    return run.finish(spec, progress, result)
