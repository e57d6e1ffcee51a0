"""What a run has left: its order, training set, scores and result; what is gone is said by name, with what is possible."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from config.errors import RunFailedError, UserError
from config.settings import Settings
from consumers.training_set.snapshot import MANIFEST_FILE, ROWS_FILE, TrainingSet, load_training_set
from registry.runs import Run
from registry.store import Registry
from registry.versions import Version
from trainers.job import spec as job_spec
from trainers.job.spec import JobResult, JobSpec

_VERSION = re.compile(r"[a-z][a-z0-9-]*/v[0-9]+")
_SET = job_spec.TRAINING_SET_FOLDER
_NEEDED = (job_spec.SPEC_FILE, job_spec.RESULT_FILE, job_spec.SCORES_FILE, f"{_SET}/{MANIFEST_FILE}", f"{_SET}/{ROWS_FILE}")


@dataclass(frozen=True, slots=True)
class Left:
    """A finished run that can be carried out again."""

    run_dir: Path
    order: JobSpec
    result: JobResult
    training_set: TrainingSet
    version: Version | None
    """What it published; None where the registry here knows nothing of the run."""


def find(settings: Settings, registry: Registry | None, which: str) -> Left:
    """Return what the run `which` has left: a run id, a version such as `news-topics/v3`, or the path of a run's folder.

    Raises `UserError` naming what is gone and what is possible, and where the folder is no run's or the run has no result.
    """
    folder = Path(which)
    is_version = _VERSION.fullmatch(which) is not None
    if (folder / job_spec.SPEC_FILE).is_file():
        run_dir = folder.resolve()
    elif registry is None:
        raise UserError(_nothing_known(which, settings))
    elif is_version:
        run_dir = settings.runs_dir.resolve() / registry.versions.get(which).run_id
    else:
        run_dir = settings.runs_dir.resolve() / _run_called(registry, which).run_id
    run = registry.runs.find(run_dir.name) if registry else None
    version = registry.versions.of_run(run_dir.name) if registry else None
    missing = [name for name in _NEEDED if not (run_dir / name).is_file()]
    if missing:
        raise UserError(_gone(run_dir, run, version, missing, settings))
    found = _read(run_dir, run, version, settings)
    if found.order.refresh and not (run_dir / job_spec.FEATURES_FILE).is_file():
        raise UserError(_gone(run_dir, run, version, [job_spec.FEATURES_FILE], settings))
    return found


def _run_called(registry: Registry, which: str) -> Run:
    run = registry.runs.find(which)
    if run is None:
        message = (
            f"there is no run, version or run folder {which!r}; `perennial runs` lists runs, `perennial models list` versions "
            f"(task/vN), and the folder of a run contains {job_spec.SPEC_FILE}"
        )
        raise UserError(message)
    return run


def _nothing_known(which: str, settings: Settings) -> str:
    return (
        f"there is no run folder {which!r}, and nothing has run in {settings.data_dir} yet, so no run or version is known; "
        f"give the path of a run's folder, which contains {job_spec.SPEC_FILE}"
    )


def _gone(run_dir: Path, run: Run | None, version: Version | None, missing: list[str], settings: Settings) -> str:
    """Return which files are gone, why as far as that is known, and what is possible."""
    task = run.task if run is not None else version.task if version is not None else None
    whole = not run_dir.exists()
    if run is not None and not run.finished:
        return f"run {run.run_id} is not finished (it is {run.state}); repeat it when it is"
    what = f"the folder of run {run_dir.name}" if whole else f"{', '.join(missing)} of run {run_dir.name}"
    if run is not None and run.erased_at is not None:
        why = f"was removed on {run.erased_at:%Y-%m-%d %H:%M} UTC, because its training set contained erased texts"
        possible = "It cannot be restored, so the run cannot be repeated."
    elif whole:
        kept = settings.training.keep_runs
        why = f"was removed: only the folders of the newest {kept} runs are kept (training.keep_runs)"
        possible = "If a backup contains the folder (runs/RUN_ID), give its path."
    elif run is not None and run.state == "failed":
        return (
            f"run {run.run_id} failed and has no results to compare with ({run.error}); `perennial train {run.task}` starts "
            "a new run"
        )
    else:
        why = "is missing" if len(missing) == 1 else "are missing"
        possible = "If a backup contains the folder (runs/RUN_ID), give its path."
    anew = f" `perennial train {task} --full` trains on the rows that are in the buffer now." if task else ""
    record = f" `perennial models show {version.name}` still shows its record." if version is not None else ""
    return f"{what} {why}. {possible}{anew}{record}"


def _read(run_dir: Path, run: Run | None, version: Version | None, settings: Settings) -> Left:
    try:
        order = job_spec.read_spec(run_dir, newer=settings.training.model_dump())
        training_set = load_training_set(run_dir / _SET)
    except (ValueError, KeyError, TypeError) as error:
        message = f"the order in {run_dir} cannot be read ({error}). Nothing was trained"
        raise UserError(message) from None
    except RunFailedError as error:
        message = f"{error.args[0].partition('. The run fails')[0]}. Nothing was trained. A backup may contain an intact folder"
        raise UserError(message) from None
    result = job_spec.read_result(run_dir)
    if result is None or result.comparison is None:
        why = "cannot be read" if result is None else f"says {result.status}: {result.error}"
        message = f"the result in {run_dir} {why}: there are no results to compare with"
        raise UserError(message)
    recorded = run.training_set_sha256 if run is not None else None
    if recorded is not None and recorded != training_set.manifest.rows_sha256:
        message = (
            f"the training set in {run_dir} is not the one of run {run_dir.name} (the registry has rows_sha256 "
            f"{recorded[:12]}, the folder has {training_set.manifest.rows_sha256[:12]}). Nothing was trained"
        )
        raise UserError(message)
    return Left(run_dir, order, result, training_set, version)
