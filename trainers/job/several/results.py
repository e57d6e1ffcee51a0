"""What processes beside the first leave where they fail: a result of their own, in a file each."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from config.files.durable import write_atomic
from trainers.job.spec import JobResult

_FILES = "result-*.json"
_WORST_FIRST = ("out_of_memory", "failed", "try_later")


def write(result: JobResult, run_dir: Path, rank: int) -> None:
    """Write how a process has failed."""
    write_atomic(run_dir / _FILES.replace("*", str(rank)), result.model_dump_json(indent=2).encode())


def forget(run_dir: Path) -> None:
    """Remove what an attempt before has left."""
    for path in run_dir.glob(_FILES):
        path.unlink()


def worst(run_dir: Path) -> JobResult | None:
    """Return the result that says most of why a run failed; None where no process beside the first has left one."""
    found: list[JobResult] = []
    for path in sorted(run_dir.glob(_FILES)):
        try:
            found.append(JobResult.model_validate_json(path.read_bytes()))
        except ValidationError:
            continue
    return min(found, key=lambda result: _WORST_FIRST.index(result.status), default=None)
