"""Carries a run out once more from what it left, in a scratch folder, and compares: nothing is published or promoted."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq

from config.errors import RunFailedError, UserError
from config.files import private
from config.kinds import catalog as kinds
from config.settings import Settings
from daemon.operations.repeating import agreement, left
from daemon.operations.repeating.agreement import Expected
from daemon.operations.repeating.left import Left
from daemon.training.aside import carry_out, scratch_folder
from daemon.training.preparing import teachers
from daemon.training.run_folders import link_or_copy, place_champion
from daemon.views import opening
from daemon.views.models.repetition import Made, Repetition
from perennial_artifact.durable import sha256_of_file
from perennial_artifact.manifest import File, Manifest, regular_files
from registry.artifacts.open import open_store
from registry.store import Registry
from trainers import hardware
from trainers.compare.comparison import compare
from trainers.job import spec as job_spec
from trainers.job.spec import JobResult, JobSpec, Progress


def repeat(settings: Settings, which: str, report: Callable[[Progress], None]) -> Repetition:
    """Carry out a run once more with the same training set, order, seed and champion; return both results side by side.

    `which` is a run id, a version, or the path of a run's folder. Raises `UserError` naming what is gone and what is possible,
    `RunFailedError` where the child does not get to its end.
    """
    with ExitStack() as stack:
        registry = _registry(settings, stack)
        found = left.find(settings, registry, which)
        private.prepare(settings.data_dir)
        folder = stack.enter_context(scratch_folder(settings.runs_dir))
        shutil.copytree(found.training_set.folder, folder / job_spec.TRAINING_SET_FOLDER, copy_function=link_or_copy)
        if (features := found.run_dir / job_spec.FEATURES_FILE).exists():
            link_or_copy(str(features), str(folder / job_spec.FEATURES_FILE))
        champion, notes = _champion(settings, registry, found, folder)
        order = _order(found.order, found.result, folder, champion, modules=settings.extensions.names)
        if (teacher := found.order.teacher_name) and found.order.teacher is not None:
            store = open_store(settings.artifacts_dir)
            order = order.model_copy(update={"teacher": teachers.placed(teacher, order.task, folder, registry, store)})
        now = carry_out(order, settings, report)
        if found.order.champion_version is not None and champion is None:
            now = _against_recorded_answers(found, now, folder)
        return _compared(found, now, folder, notes)


def _registry(settings: Settings, stack: ExitStack) -> Registry | None:
    """Open the registry; None where nothing has run in the data folder yet: a run's folder can be from anywhere."""
    try:
        return stack.enter_context(opening.registry(settings))
    except UserError:
        return None


def _order(order: JobSpec, then: JobResult, folder: Path, champion: Path | None, *, modules: tuple[str, ...]) -> JobSpec:
    """Return the order anew for the scratch folder, with as many threads as then: another number adds in another order.

    `modules` are those of this installation: a folder from elsewhere does not say what is imported here.
    """
    threads = hardware.threads_told(then.hardware) or order.training.threads
    return order.model_copy(
        update={
            "run_id": folder.name.lstrip("."),
            "run_dir": folder,
            "training_set": folder / job_spec.TRAINING_SET_FOLDER,
            "champion": champion,
            "champion_version": order.champion_version if champion is not None else None,
            "training": order.training.model_copy(update={"threads": threads}),
            "attempt": 1,
            "baseline_too": False,
            "modules": modules,
        }
    )


def _champion(settings: Settings, registry: Registry | None, found: Left, folder: Path) -> tuple[Path | None, tuple[str, ...]]:
    """Put the champion of then into the scratch folder; None, and what stands in its place, where a full run can do without.

    Raises `UserError` where the run went on learning from a champion whose files are gone.
    """
    name = found.order.champion_version
    if name is None:
        return None, ()
    why = "there is no registry in this data folder"
    if registry is not None:
        try:
            version = registry.versions.get(name)
            published = open_store(settings.artifacts_dir).fetch(version.artifact_id, version.manifest_sha256)
            return place_champion(folder, published), ()
        except UserError:
            why = "the registry does not know it"
        except RunFailedError as error:
            gone = None if version.collected_at is None else f"its files were removed on {version.collected_at:%Y-%m-%d}"
            why = f"{gone} (by registry.keep_versions or an erasure)" if gone else str(error)
    if (beside := found.run_dir / job_spec.CHAMPION_FOLDER).is_dir():
        return place_champion(folder, beside), ()
    if found.order.full:
        return None, (f"The original champion {name} is not available: {why}. Its recorded answers are used instead.",)
    message = (
        f"run {found.run_dir.name} started from {name}, which is not available: {why}. Restore the files of {name} from a "
        f"backup, or copy them to `{job_spec.CHAMPION_FOLDER}` in {found.run_dir}, then repeat the run. "
        f"`perennial train {found.order.task.name} --full` trains on the rows that are in the buffer now"
    )
    raise UserError(message)


def _against_recorded_answers(found: Left, now: JobResult, folder: Path) -> JobResult:
    """Return the result of now with the comparison that the champion's recorded answers give."""
    scores, then = pq.read_table(folder / job_spec.SCORES_FILE), pq.read_table(found.run_dir / job_spec.SCORES_FILE)
    recorded = found.result.comparison
    assert recorded is not None  # noqa: S101 - `left.find` has seen to that; narrows the type
    assert now.comparison is not None  # noqa: S101 - it is done; narrows the type
    scores = scores.set_column(scores.column_names.index("opponent"), "opponent", then["opponent"])
    anew = compare(
        found.order.task, run_id=now.run_id, champion_version=recorded.champion_version, opponent=recorded.opponent,
        scores=scores, candidate_latency=now.comparison.candidate_latency, champion_latency=None,
        size_mib=now.comparison.size_mib, looks=found.order.looks, seed=found.order.training.seed,
    )  # fmt: skip
    return now.model_copy(update={"comparison": anew})


def _compared(found: Left, now: JobResult, folder: Path, notes: tuple[str, ...]) -> Repetition:
    then = found.result
    code_then = then.code or (found.version.lineage.code if found.version is not None else "")
    wanted = agreement.expected(then, now, code_then=code_then)
    figures = agreement.figures(then, now, wanted)
    answers, same = _answers(found, folder, wanted)
    agrees = all(figure.agrees for figure in figures if figure.counts) and (not wanted.equal or same == answers)
    return Repetition(
        run_id=found.run_dir.name,
        task=found.order.task.name,
        version=found.version.name if found.version is not None else None,
        agrees=agrees,
        expected="equal" if wanted.equal else "close",
        tolerance=wanted.tolerance,
        why=wanted.why,
        figures=figures,
        answers=answers,
        answers_same=same,
        model=_model(found, folder / job_spec.MODEL_FOLDER),
        then=_made(then, code_then),
        now=_made(now, now.code),
        notes=notes,
    )


def _answers(found: Left, folder: Path, wanted: Expected) -> tuple[int, int]:
    """Return how many rows were answered, and how many answers of the candidate are the same."""
    key = kinds.get(found.order.task.kind).key

    def read(run_dir: Path) -> dict[str, object]:
        table = pq.read_table(run_dir / job_spec.SCORES_FILE, columns=["example_id", "candidate"])
        pairs = zip(table["example_id"].to_pylist(), table["candidate"].to_pylist(), strict=True)
        return {row: answer if wanted.equal else json.loads(answer).get(key) for row, answer in pairs}

    then, now = read(found.run_dir), read(folder)
    return len(then), sum(row in now and now[row] == answer for row, answer in then.items())


def _model(found: Left, model: Path) -> Literal["identical", "different", "unknown"]:
    if found.version is None:
        return "unknown"
    files = {
        name: File(name, sha256_of_file(model / name), (model / name).stat().st_size) for name in sorted(regular_files(model))
    }
    manifest = Manifest(task=found.version.task, number=found.version.number, files=files)
    return "identical" if hashlib.sha256(manifest.to_bytes()).hexdigest() == found.version.manifest_sha256 else "different"


def _made(result: JobResult, code: str) -> Made:
    return Made(hardware=result.hardware, processor=result.processor, code=code, train_s=result.train_s, score_s=result.score_s)
