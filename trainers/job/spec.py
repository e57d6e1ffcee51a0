"""What goes into a training child and what comes out: the whole protocol between daemon and job.

The run folder holds all that a run needs and leaves: the daemon writes `spec.json`; the child streams `Progress` lines on
standard output and into `history.jsonl`, writes `result.json` and ends with one of the exit codes below. Paths in both files are
relative to the folder, so that it can be copied to another machine and carried out there; `read_spec` and `read_result` make
them absolute.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from config.files.durable import write_atomic
from config.sections import TrainingSettings
from config.task_files.overrides import NONE, Overrides
from config.tasks import TaskSpec
from trainers.compare.comparison import Comparison
from trainers.job.files import (
    BATCH_FILE,
    CHAMPION_FOLDER,
    FEATURES_FILE,
    HISTORY_FILE,
    LINEAGE_FILE,
    LOG_FILE,
    MODEL_FOLDER,
    NEW_FEATURES_FILE,
    RESULT_FILE,
    SCORES_FILE,
    SPEC_FILE,
    TEACHER_FOLDER,
    TRAINING_SET_FOLDER,
    WORK_FOLDER,
)
from trainers.job.scoring.fit import Fit
from trainers.job.scoring.gap import Beside
from trainers.job.scoring.sides import Sides
from trainers.learners.contradicted import Contradicted
from trainers.learners.tried import Tried

# The names of files are of this protocol too; who needs nothing else finds them in `files` without numpy.
__all__ = [
    "BATCH_FILE",
    "CHAMPION_FOLDER",
    "FEATURES_FILE",
    "HISTORY_FILE",
    "LINEAGE_FILE",
    "LOG_FILE",
    "MODEL_FOLDER",
    "NEW_FEATURES_FILE",
    "RESULT_FILE",
    "SCORES_FILE",
    "SPEC_FILE",
    "TEACHER_FOLDER",
    "TRAINING_SET_FOLDER",
    "WORK_FOLDER",
]

EXIT_DONE = 0
EXIT_FAILED = 1
"""The run cannot succeed; `result.json` says why."""
EXIT_OUT_OF_MEMORY = 3
"""Retry once at half the batch."""
EXIT_TRY_LATER = 5
"""Failed temporarily, such as for a full disk; `result.json` says which."""
EXIT_STOPPED = 4
"""Stopped by a signal; a transformer run resumes from its checkpoint."""

_PATHS = ("training_set", "champion", "teacher")


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class JobSpec(_Value):
    """One run's order. All paths are absolute, and in `run_dir` when it is written."""

    run_id: str
    task: TaskSpec
    training: TrainingSettings
    full: bool
    refresh: bool = False
    """Whether only the head is learnt anew; what is below stays the champion's."""
    embeddings_of_base: bool = False
    """Whether the embeddings in the training set are what the task's base model makes of the texts."""
    training_set: Path
    """Folder with rows.parquet and manifest.json (see consumers/training_set/snapshot.py)."""
    run_dir: Path
    """Where everything this run writes lies: history, checkpoints, model/, scores, result."""
    champion: Path | None
    """The folder with the champion's model; None for a first model."""
    champion_version: str | None
    """For example `news-topics/v17`."""
    teacher: Path | None = None
    """The folder with the model that a student learns from too; None: it has no teacher."""
    teacher_name: str = ""
    """Its version, or the path that the task file named."""
    batch_size: int
    rows_per_step: int | None = None
    """Rows that a step learns from, where memory has made `batch_size` smaller than the task says; None: as the task says."""
    attempt: int = 1
    looks: int = 1
    """How often the held-out rows have been looked at, this run included."""
    overrides: Overrides = NONE
    """What the request for the run set otherwise than the task file; `task` has it already."""
    baseline_too: bool = False
    """Score the declared baseline too where a champion is the opponent."""
    modules: tuple[str, ...] = ()
    """To be imported before the order is read: `extensions.modules`, which may bring the task's kind."""


class Progress(_Value):
    """One line of progress."""

    run_id: str
    at: str
    """ISO time, UTC."""
    phase: Literal["starting", "training", "scoring", "done", "failed"]
    step: int = 0
    steps: int = 0
    epoch: float = 0.0
    loss: float | None = None
    examples_per_s: float | None = None
    message: str = ""


class JobResult(_Value):
    """What the child found."""

    run_id: str
    status: Literal["done", "failed", "out_of_memory", "try_later", "stopped"]
    error: str | None = None
    model: Path | None = None
    """The candidate's folder."""
    comparison: Comparison | None = None
    rows_new: int = 0
    rows_replayed: int = 0
    rows_feedback: int = 0
    """New and replayed rows that users gave."""
    rows_held_back: int = 0
    """Feedback left for a later run by the task's `feedback.max_share` and `feedback.max_user_share`."""
    rows_cut: int = 0
    """Of the new and replayed rows those whose text is longer than the model reads."""
    tested: int = 0
    """Rows that were scored."""
    tested_cut: int = 0
    """Of those the ones whose text is longer than the model reads."""
    labels: tuple[str, ...] = ()
    train_s: float = 0.0
    score_s: float = 0.0
    examples_per_s: float = 0.0
    peak_memory_mib: float = 0.0
    cpu_s: float | None = None
    """Processor seconds of the child and of those it waited for, over the attempts of one call; None: nobody counted."""
    refreshable: bool = False
    """Whether the head of the model can be solved anew without its encoder."""
    tried: tuple[Tried, ...] = ()
    """What the run tried on the way to its candidate, in order."""
    contradicted: Contradicted | None = None
    """Rows that weigh less by `training.contradicted_weight`; None where that is off, or nothing could be judged."""
    hardware: str = ""
    """Device, precision and threads used, for the card."""
    processor: str = ""
    code: str = ""
    """Versions of program and libraries."""
    baseline_score: float | None = None
    """Of the declared baseline, where it was asked for beside the champion."""
    variant: str = ""
    """What serves in the place of the candidate's weights, such as `openvino-int8`; empty: these do."""
    teacher: Beside | None = None
    """The student beside its teacher; None where the run had none."""
    fit: Fit | None = None
    """The candidate on rows that it has learnt; None where nothing was compared."""
    sides: Sides | None = None
    """The candidate beside the oracle and people; None where the task has no oracle and no second person spoke."""


def write_spec(spec: JobSpec) -> None:
    """Write the order into its run folder, durably. Raises `ValueError` for a path that leads out of the folder."""
    order = spec.model_dump(mode="json", exclude={"run_dir"})
    for name in _PATHS:
        path: Path | None = getattr(spec, name)
        order[name] = None if path is None else path.relative_to(spec.run_dir).as_posix()
    write_atomic(spec.run_dir / SPEC_FILE, json.dumps(order, indent=2).encode())


def read_spec(run_dir: Path, *, newer: Mapping[str, Any] | None = None) -> JobSpec:
    """Return the order in a run folder; `newer` are training settings that came since it was written.

    Raises FileNotFoundError, and `ValueError`, `KeyError` or `TypeError` when it cannot be read.
    """
    order = json.loads((run_dir / SPEC_FILE).read_bytes())
    return spec_of(order | {"training": {**(newer or {}), **order["training"]}}, run_dir)


def spec_of(order: Mapping[str, Any], run_dir: Path) -> JobSpec:
    """Return the order, as JSON holds it, of the run folder `run_dir`. Raises `ValidationError`."""
    order = dict(order)
    # Until 0.1 orders named their files by absolute paths, and the champion where it was published.
    before = order.pop("run_dir", None)
    for name in _PATHS:
        path = order.get(name)
        if isinstance(path, str):
            inside = before is not None and Path(path).is_relative_to(before)
            order[name] = run_dir / (Path(path).relative_to(before) if inside else path)
    return JobSpec.model_validate({**order, "run_dir": run_dir})


def rows_held(spec: JobSpec) -> int:
    """Return how many rows the batches of the last attempt held: a run may choose fewer than its order says."""
    try:
        return min(spec.batch_size, int((spec.run_dir / BATCH_FILE).read_text()))
    except (FileNotFoundError, ValueError):
        return spec.batch_size


def halved(spec: JobSpec) -> JobSpec:
    """Return the order for another attempt with half the rows in a batch; a step learns from as many as before."""
    rows_per_step = spec.rows_per_step or spec.batch_size * spec.task.training.gradient_accumulation
    update = {"batch_size": max(1, rows_held(spec) // 2), "rows_per_step": rows_per_step, "attempt": spec.attempt + 1}
    return spec.model_copy(update=update)


def write_result(result: JobResult, run_dir: Path) -> None:
    """Write what the child found into its run folder, durably."""
    model = None if result.model is None else result.model.relative_to(run_dir)
    write_atomic(run_dir / RESULT_FILE, result.model_copy(update={"model": model}).model_dump_json(indent=2).encode())


def read_result(run_dir: Path) -> JobResult | None:
    """Return a run's result, or None when there is none yet or it is not whole."""
    try:
        result = JobResult.model_validate_json((run_dir / RESULT_FILE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return result if result.model is None else result.model_copy(update={"model": run_dir / MODEL_FOLDER})
