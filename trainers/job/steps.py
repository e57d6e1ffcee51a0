"""The steps of one training run, in order: select rows, train, score candidate and opponent, compare."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from config.errors import RunFailedError
from config.files.durable import sync_folder, sync_tree, write_atomic
from config.kinds import catalog as kinds
from consumers.training_set.snapshot import TrainingSet, load_training_set
from perennial_artifact.variants import note as notes
from trainers import hardware
from trainers.compare.metrics import catalog as metrics
from trainers.export.building import Limits
from trainers.hardware import Hardware
from trainers.job import origin
from trainers.job.files import TRACKING_FOLDER
from trainers.job.guards import StopRequest, wake_collector
from trainers.job.job import Job, from_features
from trainers.job.progress import ProgressLog
from trainers.job.rows.examples import examples_of
from trainers.job.rows.replay import RunRows, select
from trainers.job.scoring.comparing import compare_models
from trainers.job.spec import (
    BATCH_FILE,
    FEATURES_FILE,
    LINEAGE_FILE,
    MODEL_FOLDER,
    NEW_FEATURES_FILE,
    WORK_FOLDER,
    JobResult,
    JobSpec,
)
from trainers.job.teaching import taught, unlabelled_of
from trainers.learners.catalog import can_refresh, learner_for, refresher_for
from trainers.learners.contradicted import Contradicted
from trainers.learners.features import FeatureSet, of_one_encoder, read_features, write_features
from trainers.learners.opening import usable
from trainers.learners.protocols import Example, Learner, TrainingPlan, TrainingStep
from trainers.learners.tried import Tried
from trainers.learners.tuning import processes
from trainers.parquet import write_table
from trainers.tracking import Tracking

TRAINED_FILE = "trained.json"
"""Written last when the model folder is complete: a later attempt goes on with scoring."""
_BUILDING = ".building"

_LOG = structlog.get_logger(__name__)


class Trained(BaseModel):
    """What is known of a complete model folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    training_set_sha256: str
    champion_version: str | None
    rows_new: int
    rows_replayed: int
    rows_cut: int = 0
    labels: tuple[str, ...]
    tried: tuple[Tried, ...] = ()
    contradicted: Contradicted | None = None
    rows_taught: int = 0
    """Training rows for which a teacher's answers counted."""
    train_s: float
    examples_per_s: float


def execute(spec: JobSpec, stop: StopRequest, progress: ProgressLog) -> JobResult:
    """Carry out one run and return what it found.

    Raises `RunFailedError` when it cannot succeed, `StoppedError` when a signal came, and lets running out of memory through.
    """
    progress.write("starting", message=f"attempt {spec.attempt}: loading the libraries and the training set")
    training_set = load_training_set(spec.training_set)
    # From here on the model libraries are loaded, which takes seconds; a refresh from features needs none.
    learner = None if from_features(spec) else learner_for(spec.task)
    selection = _select(spec, learner, training_set)
    # What a version has learnt from is its lineage; the training set names more rows than an incremental run takes.
    learnt = pa.concat_tables([selection.table.select(["example_id"]), unlabelled_of(spec, training_set).select(["example_id"])])
    write_table(learnt, spec.run_dir / LINEAGE_FILE)
    stop.check()
    job = Job(spec, learner, _resources(spec), training_set, stop, progress, _stored_features(spec))
    wake_collector()
    stop.check()
    trained = _already_trained(job)
    if trained is None:
        trained = _train(job, selection)
    else:
        progress.write("training", message="the model was complete already; going on with scoring")
    began = time.monotonic()
    compared = compare_models(job, selection, answered=trained.rows_taught)
    return JobResult(
        run_id=spec.run_id,
        status="done",
        model=job.model,
        comparison=compared.comparison,
        rows_new=trained.rows_new,
        rows_replayed=trained.rows_replayed,
        rows_feedback=selection.feedback,
        rows_held_back=selection.held_back,
        rows_cut=trained.rows_cut,
        tested=compared.tested,
        tested_cut=compared.cut,
        labels=trained.labels,
        refreshable=can_refresh(spec.task.kind, spec.task.backend),
        tried=trained.tried,
        contradicted=trained.contradicted,
        train_s=trained.train_s,
        score_s=time.monotonic() - began,
        examples_per_s=trained.examples_per_s,
        hardware=_told_hardware(job),
        processor=origin.processor(),
        code=origin.code(),
        variant=_variant(job.model),
        baseline_score=compared.baseline,
        teacher=compared.teacher,
        fit=compared.fit,
        sides=compared.sides,
    )


def assist(spec: JobSpec, stop: StopRequest) -> None:
    """Tune along with the first of several processes that carry the order out, and leave nothing behind.

    Raises `LeftError` when the tuning is done; returns where there was nothing to tune.
    """
    training_set = load_training_set(spec.training_set)
    learner = learner_for(spec.task)
    selection = _select(spec, learner, training_set)
    progress = ProgressLog(spec.run_id, None, None)
    job = Job(spec, learner, _resources(spec), training_set, stop, progress, _stored_features(spec))
    wake_collector()
    if _already_trained(job) is None:
        with TemporaryDirectory() as folder:
            learner.train(_plan(job, selection, _Told(job)), Path(folder) / MODEL_FOLDER)


def _from_the_base(spec: JobSpec) -> bool:
    return spec.full or spec.champion is None


def _resources(spec: JobSpec) -> Hardware:
    if from_features(spec):
        return Hardware("cpu", "fp32", spec.training.threads or max(1, hardware.usable_cores() - 1))
    resources = hardware.resolve(spec.training, backend=spec.task.backend)
    processes.join(resources.device)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(resources.threads)
    return resources


def _variant(model: Path) -> str:
    with usable():
        found = notes.read(model)
    return "" if found is None else found.name


def _told_hardware(job: Job) -> str:
    described, count = hardware.describe(job.hardware), processes.here().count
    return described if count == 1 else f"{count} processes, each {described}"


def _select(spec: JobSpec, learner: Learner | None, training_set: TrainingSet) -> RunRows:
    full = _from_the_base(spec)
    # Its features are in a file of their own.
    rows = training_set.rows("train", embeddings=not from_features(spec))
    selection = select(
        rows, spec.task.training, full=full, seed=spec.training.seed, feedback=spec.task.feedback,
        everything=from_features(spec) or (learner is not None and learner.learns_from_all), sampled=not from_features(spec),
    )  # fmt: skip
    if selection.new == 0 and (learner is None or not _has_more_to_learn(spec, learner, selection)):
        if selection.held_back:
            why = f"all that is new is feedback, of which a run takes {spec.task.feedback.max_share:.0%}; send labels"
        elif full:
            why = "no usable training row is there; send labels"
        else:
            why = f"no training row is new since {spec.champion_version}, which stays; send labels or ask for a full run"
        message = f"run {spec.run_id} has nothing to learn: {why}{training_set.manifest.left_out_told}"
        raise RunFailedError(message)
    _LOG.info("rows_selected", new=selection.new, replayed=selection.replayed, held_back=selection.held_back, full=full)
    return selection


def _has_more_to_learn(spec: JobSpec, learner: Learner, selection: RunRows) -> bool:
    """Return whether a run can still bring something where the champion has learnt from every row."""
    return selection.table.num_rows > 0 and spec.champion is not None and learner.has_more_to_learn(spec.champion)


def _already_trained(job: Job) -> Trained | None:
    try:
        trained = Trained.model_validate_json((job.spec.run_dir / TRAINED_FILE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    if (
        trained.training_set_sha256 != job.training_set.manifest.rows_sha256
        or trained.champion_version != job.spec.champion_version
    ):
        return None
    return trained if job.model.is_dir() else None


class _Told:
    """Hears what a learner tells while it trains; also where a stop that was asked for takes effect."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.speed, self.cut = 0.0, 0
        self.tried: list[Tried] = []
        self.contradicted: list[Contradicted] = []

    def report(self, step: TrainingStep) -> None:
        """Pass a step on."""
        self.speed, self.cut = step.examples_per_s, step.texts_cut
        self._job.progress.step(step)
        self._job.stop.check()

    def tell(self, message: str) -> None:
        """Pass on what goes on before the first step."""
        self._job.progress.note(message)
        self._job.stop.check()


def _tracking(spec: JobSpec) -> Tracking | None:
    """Return who else follows the run's losses; a pipeline of spaCy is not trained by what has reporters."""
    trackers = spec.training.tracked_by
    if not trackers:
        return None
    if spec.task.backend == "spacy":
        _LOG.warning(
            "tracker.not_used",
            trackers=trackers,
            reason="spaCy's training has no reporters",
            next="the run's own report has its losses",
        )
        return None
    return Tracking(by=trackers, run=spec.run_id, project=spec.task.name, folder=spec.run_dir / TRACKING_FOLDER)


def _plan(
    job: Job, selection: RunRows, told: _Told, *, rows: Sequence[Example] | None = None, **further: Any  # noqa: ANN401 - fields of the plan
) -> TrainingPlan:  # fmt: skip
    spec, metric = job.spec, metrics.of(job.spec.task)
    work = spec.run_dir / WORK_FOLDER
    work.mkdir(exist_ok=True)
    return TrainingPlan(
        spec=spec.task,
        rows=examples_of(selection.table) if rows is None else rows,
        full=_from_the_base(spec),
        warm_start=None if _from_the_base(spec) else spec.champion,
        seed=spec.training.seed,
        hardware=job.hardware,
        batch_size=spec.batch_size,
        rows_per_step=spec.rows_per_step,
        memory_limit_mib=spec.training.memory_limit_mib,
        work_dir=work,
        report=told.report,
        waiting=frozenset(job.training_set.manifest.waiting),
        text_time_s=spec.training.text_time_s,
        tell=told.tell,
        to_tune=selection.sample,
        base_features=of_one_encoder(selection.table) if spec.embeddings_of_base and not from_features(spec) else None,
        champion_features=job.features,
        score=lambda gold, answers: metric.pair(gold, answers, answers).scores()[0],
        metric=metric.name,
        lower_is_better=metric.scale.lower_is_better,
        tracking=_tracking(spec),
        note_tried=told.tried.append,
        note_contradicted=told.contradicted.append,
        export_limits=Limits(spec.training.export_limit_s, spec.modules),
        **further,
    )


def _train(job: Job, selection: RunRows) -> Trained:
    spec = job.spec
    # Never into a folder that an earlier attempt has touched.
    for leftover in (*spec.run_dir.glob(f"{MODEL_FOLDER}{_BUILDING}*"), job.model):
        shutil.rmtree(leftover, ignore_errors=True)
    (spec.run_dir / TRAINED_FILE).unlink(missing_ok=True)
    building = spec.run_dir / f"{MODEL_FOLDER}{_BUILDING}-{spec.attempt}"
    told = _Told(job)
    (spec.run_dir / WORK_FOLDER).mkdir(exist_ok=True)
    began, rows = time.monotonic(), examples_of(selection.table)
    to_tune = [row for row in rows if selection.sample is None or row.example_id in selection.sample]
    of_teacher = taught(spec, to_tune, examples_of(unlabelled_of(spec, job.training_set)), told.tell)
    among_rows = of_teacher is not None and kinds.get(spec.task.kind).positional
    plan = _plan(
        job, selection, told,
        rows=[*rows, *of_teacher.unlabelled] if of_teacher is not None and among_rows else rows,
        taught=None if among_rows else of_teacher,
        note_batch_size=lambda rows: write_atomic(spec.run_dir / BATCH_FILE, str(rows).encode()),
        keep_features=lambda features: write_features(features, spec.run_dir / NEW_FEATURES_FILE),
    )  # fmt: skip
    (refresher_for(spec.task) if spec.refresh else learner_for(spec.task)).train(plan, building)
    job.stop.check()
    trained = Trained(
        training_set_sha256=job.training_set.manifest.rows_sha256,
        champion_version=spec.champion_version,
        rows_new=selection.new,
        rows_replayed=selection.replayed,
        rows_cut=told.cut,
        labels=tuple(sorted({label for row in rows for label in kinds.get(spec.task.kind).labels(row.target)})),
        tried=tuple(told.tried),
        contradicted=told.contradicted[-1] if told.contradicted else None,
        rows_taught=0 if of_teacher is None else sum(row.example_id in of_teacher.answers for row in rows),
        train_s=time.monotonic() - began,
        examples_per_s=told.speed,
    )
    sync_tree(building)
    building.rename(job.model)
    sync_folder(spec.run_dir)
    write_atomic(spec.run_dir / TRAINED_FILE, trained.model_dump_json(indent=2).encode())
    return trained


def _stored_features(spec: JobSpec) -> FeatureSet | None:
    path = spec.run_dir / FEATURES_FILE
    return read_features(path) if path.exists() else None
