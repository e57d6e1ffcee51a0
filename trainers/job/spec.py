"""What goes into a training child and what comes out: the whole protocol between daemon and job.

The daemon writes `spec.json`; the child streams `Progress` lines on standard output and into `history.jsonl`, writes
`result.json` and ends with one of the exit codes below.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from config.sections import TrainingSettings
from config.tasks import TaskSpec
from trainers.compare.comparison import Comparison

EXIT_DONE = 0
EXIT_FAILED = 1
"""The run cannot succeed; `result.json` says why."""
EXIT_OUT_OF_MEMORY = 3
"""Retry once at half the batch."""
EXIT_TRY_LATER = 5
"""Failed temporarily, such as for a full disk; `result.json` says which."""
EXIT_STOPPED = 4
"""Stopped by a signal; a transformer run resumes from its checkpoint."""

SPEC_FILE = "spec.json"
RESULT_FILE = "result.json"
HISTORY_FILE = "history.jsonl"
SCORES_FILE = "scores.parquet"
LINEAGE_FILE = "learnt.parquet"
MODEL_FOLDER = "model"
WORK_FOLDER = "work"
"""Checkpoints; removed after publishing."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class JobSpec(_Value):
    """One run's order. All paths are absolute."""

    run_id: str
    task: TaskSpec
    training: TrainingSettings
    full: bool
    training_set: Path
    """Folder with rows.parquet and manifest.json (see consumers/training_set/snapshot.py)."""
    run_dir: Path
    """Where everything this run writes lies: history, checkpoints, model/, scores, result."""
    champion: Path | None
    """The champion's artifact model folder; None for a first model."""
    champion_version: str | None
    """For example `news-topics/v17`."""
    batch_size: int
    attempt: int = 1
    looks: int = 1
    """How often the held-out rows have been looked at, this run included."""
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
    hardware: str = ""
    """Device, precision and threads used, for the card."""
