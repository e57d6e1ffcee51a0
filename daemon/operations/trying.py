"""`perennial train --downsample`: a quick trial on a part of the rows, in a scratch folder. Nothing is published or promoted."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from config.errors import UserError
from config.files import private
from config.settings import Settings
from config.task_files.overrides import Overrides
from config.tasks import TaskSpec, load_tasks
from consumers.buffer.reader import BufferReader
from consumers.training_set.snapshot import TrainingSet
from daemon.training.aside import carry_out, scratch_folder
from daemon.training.preparing import teachers, warm_start
from daemon.training.run_folders import place_champion
from daemon.views import opening
from daemon.views.models.comparison import Scale
from daemon.views.models.trial import Score, Trial
from registry.artifacts.open import open_store
from registry.store import Registry
from registry.versions import Version
from trainers.job import spec as job_spec
from trainers.job.rows.downsampling import write_part
from trainers.job.rows.replay import select
from trainers.job.scoring.declared_baseline import baseline_name
from trainers.job.spec import JobResult, JobSpec, Progress
from trainers.learners.catalog import learner_for


@dataclass(frozen=True, slots=True)
class Part:
    """How many of the rows a trial learns from: so many, or such a share of them."""

    rows: int | None = None
    share: float | None = None

    @classmethod
    def read(cls, given: str) -> Self:
        """Return what `500`, `0.1` or `10%` says. Raises `UserError` for anything else."""
        text = given.strip()
        try:
            if text.isdecimal() and int(text) > 0:
                return cls(rows=int(text))
            share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
        except ValueError:
            share = 0.0
        if not 0.0 < share <= 1.0:
            message = f"--downsample {given}: give rows (500), a share above 0 and at most 1 (0.1), or percent (10%)"
            raise UserError(message)
        return cls(share=share)

    def of(self, rows: int) -> int:
        """Return how many of `rows` rows that is, one at least where there is one."""
        return min(rows, self.rows if self.rows is not None else max(1, round((self.share or 0.0) * rows)))


def attempt(
    settings: Settings, name: str, part: Part, *, full: bool, overrides: Overrides, report: Callable[[Progress], None]
) -> Trial:
    """Train and score on a part of what the buffer holds now for a task, and return what came of it.

    Raises `UserError` for an unknown task and where there is nothing to train on, `RunFailedError` where the child does not get
    to its end.
    """
    began = time.monotonic()
    tasks = load_tasks(settings.tasks_folder)
    if name not in tasks:
        message = f"task {name!r} is not defined in {settings.tasks_folder}; the tasks are {', '.join(sorted(tasks))}"
        raise UserError(message)
    task = tasks[name].model_copy(update={"training": overrides.applied_to(tasks[name].training)})
    if not settings.buffer_dir.exists():
        message = f"{name} has no training examples. Import some and start the daemon, then try again."
        raise UserError(message)
    with ExitStack() as stack:
        registry = stack.enter_context(opening.registry(settings))
        buffer = stack.enter_context(opening.buffer(settings))
        private.prepare(settings.data_dir)
        folder = stack.enter_context(scratch_folder(settings.runs_dir))
        champion = _champion(registry, name)
        full = full or champion is None or not warm_start.is_allowed(champion, task)
        task, teacher = teachers.chosen(task, champion, refresh=False)
        frozen = _frozen(buffer, registry, task, champion, folder)
        task = frozen.manifest.in_force(task)
        whole = _cut(frozen, task, part, folder, full=full, seed=settings.training.seed)
        order = JobSpec(
            run_id=folder.name.lstrip("."),
            task=task,
            training=settings.training,
            full=full,
            training_set=folder / job_spec.TRAINING_SET_FOLDER,
            run_dir=folder,
            champion=_placed(settings, champion, folder),
            champion_version=champion.name if champion else None,
            teacher=teachers.placed(teacher, task, folder, registry, open_store(settings.artifacts_dir)),
            teacher_name=teacher or "",
            batch_size=task.training.batch_size,
            overrides=overrides,
            baseline_too=True,
            embeddings_of_base=task.base_model == settings.enrich.encoder,
            modules=settings.extensions.names,
        )
        result = carry_out(order, settings, report)
    return _told(order, result, whole, overrides, seconds=time.monotonic() - began)


def _champion(registry: Registry, task: str) -> Version | None:
    alias = registry.versions.champion(task)
    return None if alias is None else registry.versions.get(alias.version)


def _placed(settings: Settings, champion: Version | None, folder: Path) -> Path | None:
    if champion is None:
        return None
    return place_champion(folder, open_store(settings.artifacts_dir).fetch(champion.artifact_id, champion.manifest_sha256))


def _frozen(buffer: BufferReader, registry: Registry, task: TaskSpec, champion: Version | None, folder: Path) -> TrainingSet:
    learnt = registry.versions.learnt(champion.name) if champion else frozenset[str]()
    frozen = buffer.freeze(task, run_id=folder.name, folder=folder / "whole", learnt=learnt, max_rows=task.training.max_rows)
    if frozen.manifest.counts.get("train", 0) == 0:
        message = (
            f"{task.name} has no usable, enriched training example{frozen.manifest.left_out_told}. Import some, let the "
            "daemon enrich them (`perennial status`), then try again"
        )
        raise UserError(message)
    return frozen


def _cut(frozen: TrainingSet, task: TaskSpec, part: Part, folder: Path, *, full: bool, seed: int) -> tuple[int, int]:
    """Write the part of a training set that the trial takes, remove the whole one, and return its rows to learn and to test."""
    chosen = select(
        frozen.rows("train"), task.training, full=full, seed=seed, feedback=task.feedback,
        everything=learner_for(task).learns_from_all,
    )  # fmt: skip
    if chosen.table.num_rows == 0:
        message = f"{task.name} has no rows that are new to its champion; use --full for a trial from the base model"
        raise UserError(message)
    test, of = frozen.rows("test"), chosen.table.num_rows
    rows = part.of(of)
    # Fewer test rows than decide would tell nothing.
    tested = max(round(test.num_rows * rows / of), min(task.promotion.min_test_examples, test.num_rows))
    write_part(frozen.manifest, chosen.table, test, folder / job_spec.TRAINING_SET_FOLDER, rows=rows, tested=tested, seed=seed)
    shutil.rmtree(frozen.folder)
    return of, test.num_rows


def _told(order: JobSpec, result: JobResult, whole: tuple[int, int], overrides: Overrides, *, seconds: float) -> Trial:
    seen = result.comparison
    assert seen is not None  # noqa: S101 - a result that is done has one; narrows the type
    scores = [Score(who="trial", name="this trial", score=seen.candidate_score)]
    if seen.champion_version is not None:
        scores.append(Score(who="champion", name=seen.champion_version, score=seen.champion_score))
    baseline = seen.champion_score if seen.champion_version is None else result.baseline_score
    if baseline is not None:
        scores.append(Score(who="baseline", name=baseline_name(order.task), score=baseline))
    learnt_of, tested_of = whole
    return Trial(
        task=order.task.name,
        full=order.full,
        went_on_from=None if order.full else order.champion_version,
        set_for_it=overrides.given,
        learnt=result.rows_new + result.rows_replayed,
        learnt_of=learnt_of,
        tested=seen.rows,
        tested_of=tested_of,
        metric=seen.metric,
        scale=Scale.model_validate(seen.scale.model_dump()),
        scores=tuple(scores),
        gain=seen.gain,
        lower_bound=seen.lower_bound,
        upper_bound=seen.upper_bound,
        confidence=seen.confidence,
        train_s=result.train_s,
        score_s=result.score_s,
        seconds=seconds,
        examples_per_s=result.examples_per_s,
        peak_memory_mib=result.peak_memory_mib,
        hardware=result.hardware,
    )
