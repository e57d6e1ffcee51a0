"""The folders of runs: where each run's order, training set, result and log lie, and how many of them are kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from config.errors import RunFailedError
from config.settings import Settings
from daemon.training.runner import read_result
from registry.runs import Run, Runs
from trainers.job import spec as job_spec
from trainers.job.spec import JobResult, JobSpec


class RunFolders:
    """Finds and reads what runs have left on disk."""

    def __init__(self, settings: Settings, runs: Runs) -> None:
        self._settings = settings
        self._runs = runs

    def of(self, run: Run) -> Path:
        """Return the run's folder, absolute."""
        return self._settings.runs_dir.resolve() / run.run_id

    def spec(self, run: Run) -> JobSpec:
        """Return the run's order. Raises `RunFailedError` when it cannot be read."""
        path = self.of(run) / job_spec.SPEC_FILE
        try:
            order = json.loads(path.read_bytes())
            # An earlier version may have written it, without settings that came since.
            return JobSpec.model_validate(order | {"training": self._settings.training.model_dump() | order["training"]})
        except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
            message = f"the order of run {run.run_id} cannot be read ({error}); retrain with `perennial train {run.task}`"
            raise RunFailedError(message) from None

    def result(self, run: Run) -> JobResult:
        """Return what the run's child found. Raises `RunFailedError` when it left nothing."""
        result = read_result(self.of(run))
        if result is None:
            message = f"the result of run {run.run_id} is missing; retrain with `perennial train {run.task}`"
            raise RunFailedError(message)
        return result

    def forget_old(self) -> None:
        """Remove the folders of ended runs but for the newest `training.keep_runs`; their records stay."""
        found = (self._runs.find(folder.name) for folder in self._settings.runs_dir.glob("*"))
        ended = sorted((run.finished_at, run.run_id) for run in found if run is not None and run.finished_at is not None)
        for _finished_at, run_id in ended[: -self._settings.training.keep_runs]:
            shutil.rmtree(self._settings.runs_dir / run_id, ignore_errors=True)
