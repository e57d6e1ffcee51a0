"""Further ways to carry a run out: in this process, and in a copy of its folder, as on another machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from daemon.training.runners.local import LocalRunner
from trainers.job import run as job_run
from trainers.job import spec as job_spec
from trainers.job import steps
from trainers.job.guards import StopRequest
from trainers.job.progress import ProgressLog
from trainers.job.spec import JobResult, JobSpec, Progress


class HereRunner:
    """Carries runs out in this process, which has loaded what a child would load first: seconds of a core for each run."""

    prepare = staticmethod(job_spec.write_spec)

    def end(self, run_id: str) -> None:
        """Nothing goes on by itself."""

    def run(self, spec: JobSpec, report: Callable[[Progress], None]) -> JobResult:
        """Carry the run out, as the child does."""
        spec.run_dir.mkdir(parents=True, exist_ok=True)
        self.prepare(spec)
        order = job_spec.read_spec(spec.run_dir)
        progress = ProgressLog(order.run_id, order.run_dir / job_spec.HISTORY_FILE, None)
        found = job_run.outcome_of(order, lambda: steps.execute(order, StopRequest(), progress))
        job_run.finish(order, progress, found)
        result = job_spec.read_result(order.run_dir)
        assert result is not None
        return result


class CopyingRunner:
    """Carries runs out in copies of their folders below `there`."""

    def __init__(self, there: Path, runner: LocalRunner) -> None:
        self._there = there
        self._runner = runner

    def prepare(self, spec: JobSpec) -> None:
        """Write the order."""
        job_spec.write_spec(spec)

    def run(self, spec: JobSpec, report: Callable[[Progress], None]) -> JobResult:
        """Carry the run out in a copy."""
        spec.run_dir.mkdir(parents=True, exist_ok=True)
        self.prepare(spec)
        copy = self._there / spec.run_id
        shutil.copytree(spec.run_dir, copy)
        result = self._runner.run(job_spec.read_spec(copy), report)
        shutil.copytree(copy, spec.run_dir, dirs_exist_ok=True)
        shutil.rmtree(copy)
        # By itself it names the model where it was made.
        return job_spec.read_result(spec.run_dir) if result.status == "done" else result  # type: ignore[return-value]  # it is there

    def end(self, run_id: str) -> None:
        """Stop the run, wherever it is."""
        self._runner.end(run_id)
