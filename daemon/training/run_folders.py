"""The folders of runs: where each run's order, training set, result and log lie, and how many of them are kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from config.errors import RunFailedError
from config.files import durable
from config.settings import Settings
from registry.runs import Run, Runs
from trainers.job import spec as job_spec
from trainers.job.files import BESIDE_FILE
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
        try:
            # An earlier version may have written it, without settings that came since.
            return job_spec.read_spec(self.of(run), newer=self._settings.training.model_dump())
        except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
            message = f"the order of run {run.run_id} cannot be read ({error}); retrain with `perennial train {run.task}`"
            raise RunFailedError(message) from None

    def result(self, run: Run) -> JobResult:
        """Return what the run's child found. Raises `RunFailedError` when it left nothing."""
        result = job_spec.read_result(self.of(run))
        if result is None:
            message = f"the result of run {run.run_id} is missing; retrain with `perennial train {run.task}`"
            raise RunFailedError(message)
        return result

    def place_champion(self, run: Run, published: Path) -> Path:
        """Put the champion's files into the run's folder and return where."""
        return place_champion(self.of(run), published)

    def clear(self, run: Run, *, model: bool = False) -> None:
        """Remove what only a run under way needs.

        Checkpoints, champion, teacher, what others say of test rows and, once it is published, the model.
        """
        for name in (
            job_spec.WORK_FOLDER,
            job_spec.CHAMPION_FOLDER,
            job_spec.TEACHER_FOLDER,
            *([job_spec.MODEL_FOLDER] if model else []),
        ):
            shutil.rmtree(self.of(run) / name, ignore_errors=True)
        (self.of(run) / BESIDE_FILE).unlink(missing_ok=True)

    def settle(self, run: Run) -> None:
        """Keep of an ended run what is needed to repeat it (`train --from-manifest`), and of one that failed what tells of it.

        Then forget the oldest runs. A candidate's features have been stored by now, or nobody asks for them.
        """
        failed = run.state == "failed"
        if failed:
            self.clear(run)
        for name in (job_spec.NEW_FEATURES_FILE, *([job_spec.FEATURES_FILE] if failed else [])):
            (self.of(run) / name).unlink(missing_ok=True)
        self._forget_old()

    def _forget_old(self) -> None:
        """Remove the folders of ended runs but for the newest `training.keep_runs`; their records stay."""
        found = (self._runs.find(folder.name) for folder in self._settings.runs_dir.glob("*"))
        ended = sorted((run.finished_at, run.run_id) for run in found if run is not None and run.finished_at is not None)
        for _finished_at, run_id in ended[: -self._settings.training.keep_runs]:
            shutil.rmtree(self._settings.runs_dir / run_id, ignore_errors=True)


def place_champion(run_dir: Path, published: Path) -> Path:
    """Put the champion's files into a run's folder and return where."""
    return place(run_dir / job_spec.CHAMPION_FOLDER, published)


def place(folder: Path, published: Path) -> Path:
    """Put a model's files into the folder `folder` of a run and return it; hard links cost no room on the same file system."""
    building = folder.with_name(f".{folder.name}.tmp")
    for left_over in (building, folder):
        shutil.rmtree(left_over, ignore_errors=True)
    shutil.copytree(published, building, copy_function=link_or_copy)
    durable.sync_tree(building)
    building.rename(folder)
    durable.sync_folder(folder.parent)
    return folder


def link_or_copy(source: str, target: str) -> None:
    """Put a file at another place too, without its bytes where the file system can."""
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
