"""The teacher of a run: which model a task's smaller one learns from too, put into the run's folder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import structlog

from config.errors import RunFailedError, UserError
from config.tasks import TaskSpec
from daemon.training import run_folders
from perennial_artifact.description import MODEL_FILE
from registry.artifacts.protocol import ArtifactStore
from registry.store import Registry
from registry.versions import Version
from trainers.job import spec as job_spec
from trainers.job.spec import JobSpec
from trainers.learners.opening import described
from trainers.learners.taught import refuse_unfit

CHAMPION = "champion"
_VERSION = re.compile(r"[a-z][a-z0-9-]*/v[0-9]+")

log = structlog.get_logger(__name__)


def chosen(task: TaskSpec, champion: Version | None, *, refresh: bool) -> tuple[TaskSpec, str | None]:
    """Return the task as it is for a run, and the name of the teacher that this has: a version or a path; None for none.

    A refresh has none: what it learns is a head alone. `champion` teaches until the champion stands on the task's own base model,
    which it does once a student was promoted.
    """
    teacher = _wanted(task, champion, refresh=refresh)
    if teacher is None and task.training.teacher is not None:
        task = task.model_copy(update={"training": task.training.model_copy(update={"teacher": None})})
    return task, teacher


def _wanted(task: TaskSpec, champion: Version | None, *, refresh: bool) -> str | None:
    named = task.training.teacher
    if named is None or refresh:
        return None
    if named != CHAMPION:
        return named
    if champion is None:
        log.info("teacher.none", task=task.name, why="there is no champion yet", next="the run learns from gold alone")
        return None
    base = champion.lineage.settings.get("task", {}).get("base_model", task.base_model)
    if champion.affected_at is None and base != task.base_model:
        return champion.name
    why = "has learnt from texts that were erased" if champion.affected_at is not None else f"stands on {base} already"
    log.info("teacher.none", task=task.name, why=f"{champion.name} {why}", next="the run learns from gold alone")
    return None


def is_version(name: str) -> bool:
    """Return whether a teacher is a version, and no folder."""
    return _VERSION.fullmatch(name) is not None


def named_by(tasks: Iterable[TaskSpec]) -> frozenset[str]:
    """Return the versions that task files name as teachers: their files must stay."""
    found = (task.training.teacher for task in tasks)
    return frozenset(name for name in found if name is not None and is_version(name))


def placed(name: str | None, task: TaskSpec, run_dir: Path, registry: Registry | None, artifacts: ArtifactStore) -> Path | None:
    """Put the model `name`, a version or a path, into a run's folder as its teacher, and return where; None for none.

    Raises `RunFailedError` where it cannot be had, or cannot teach this task.
    """
    if name is None:
        return None
    published = _published(name, registry, artifacts) if is_version(name) else _folder(name)
    refuse_unfit(described(published), task, name)
    return run_folders.place(run_dir / job_spec.TEACHER_FOLDER, published)


def place_again(spec: JobSpec, registry: Registry, artifacts: ArtifactStore) -> None:
    """Put a run's teacher into its folder where it is gone: a backup does not hold it twice. Raises as `placed` does."""
    if spec.teacher is not None and not spec.teacher.exists():
        placed(spec.teacher_name, spec.task, spec.run_dir, registry, artifacts)


def _published(name: str, registry: Registry | None, artifacts: ArtifactStore) -> Path:
    if registry is None:
        raise _missing(name, "there is no registry in this data folder")
    try:
        version = registry.versions.get(name)
    except UserError as error:
        raise _missing(name, str(error)) from error
    if version.collected_at is not None:
        raise _missing(name, "its files were removed")
    if version.affected_at is not None:
        raise _missing(name, "it has learnt from texts that were erased")
    return artifacts.fetch(version.artifact_id, version.manifest_sha256)


def _folder(name: str) -> Path:
    folder = Path(name).expanduser()
    if not (folder / MODEL_FILE).is_file():
        message = (
            f"the teacher {name} is neither `champion`, nor a version such as news-topics/v3, nor a folder with a published "
            f"model ({MODEL_FILE}). Learn the larger model as a task of its own and name its version in training.teacher, or "
            "remove the key"
        )
        raise RunFailedError(message)
    return folder


def _missing(name: str, why: str) -> RunFailedError:
    return RunFailedError(f"the teacher {name} cannot be had: {why}. Name another one in training.teacher, or remove the key")
