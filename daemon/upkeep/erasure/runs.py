"""Erasing in the folders of runs: those under way are ended, those of the past go with everything in them."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from collections.abc import Set as AbstractSet
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from config.files.durable import sync_folder
from consumers.training_set.snapshot import ROWS_FILE
from daemon.training.cycle import Cycle
from registry.store import Registry
from trainers.job import spec as job_spec
from trainers.job.spec import TRAINING_SET_FOLDER

_GOING = ".erased-"

log = structlog.get_logger(__name__)


def end_those_under_way(
    registry: Registry, cycle: Cycle, runs_dir: Path, erased: Collection[str], affected: Collection[str]
) -> tuple[bool, set[str]]:
    """Tell the cycle to end every run that learns from erased examples or continues from an affected version.

    Returns whether no such run is left, and the tasks whose runs were told.
    """
    tasks: set[str] = set()
    nothing_left = True
    for run in registry.runs.unfinished():
        if run.state == "queued":
            # It may be freezing the tables as they were before.
            nothing_left = False
        elif _learns(runs_dir / run.run_id, erased, affected):
            log.info("erasure.run_ended", run_id=run.run_id, task=run.task, next="the task is retrained")
            cycle.end(run.run_id)
            tasks.add(run.task)
            nothing_left = False
    return nothing_left, tasks


def past_runs_holding_more_than(present: AbstractSet[str], registry: Registry, runs_dir: Path) -> list[str]:
    """Return the folders of ended runs whose training set holds an example that the buffer holds no more.

    Erased now, or by retention before anybody asked: what is in no table cannot be told from what must go. A set that cannot be
    read goes too.
    """
    found = []
    for folder in sorted(runs_dir.glob("*")):
        run = registry.runs.find(folder.name)
        if (run is None or run.finished) and not folder.name.startswith(_GOING):
            frozen = example_ids(folder)
            half_frozen = (folder / f".{TRAINING_SET_FOLDER}.tmp").exists()
            if half_frozen or (frozen is None and (folder / TRAINING_SET_FOLDER).exists()) or (frozen or set()) - present:
                found.append(folder.name)
    return found


def remove(runs_dir: Path, run_ids: Collection[str]) -> None:
    """Remove the folders of runs, each as a whole, and what an earlier removal that was killed left of one."""
    for run_id in run_ids:
        try:
            (runs_dir / run_id).rename(runs_dir / f"{_GOING}{run_id}")
        except FileNotFoundError:
            continue  # the cycle has just forgotten it
    for doomed in runs_dir.glob(f"{_GOING}*"):
        shutil.rmtree(doomed)
    if runs_dir.exists():
        sync_folder(runs_dir)


def example_ids(run_dir: Path) -> set[str] | None:
    """Return the ids in a run's training set, and in a pool of articles; None when there is none that can be read."""
    files = sorted(run_dir.glob(f"*/{ROWS_FILE}"))
    try:
        found = [pq.read_table(file, columns=["example_id"])["example_id"].to_pylist() for file in files]
    except (OSError, pa.ArrowException, KeyError):
        return None
    return {example_id for ids in found for example_id in ids} if files else None


def _learns(run_dir: Path, erased: Collection[str], affected: Collection[str]) -> bool:
    if not (example_ids(run_dir) or set()).isdisjoint(erased):
        return True
    try:
        spec = job_spec.read_spec(run_dir)
    except (OSError, ValueError, KeyError, TypeError):
        return False  # its next step fails
    return (not spec.full and spec.champion_version in affected) or spec.teacher_name in affected
