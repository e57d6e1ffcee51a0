"""A trained candidate becomes a version: its files first, then the record of what it was made from."""

from __future__ import annotations

import pyarrow.parquet as pq

from config.errors import RunFailedError
from consumers.training_set.snapshot import load_training_set
from daemon.training.preparing import teachers
from registry.artifacts.protocol import ArtifactStore
from registry.runs import Run
from registry.store import Registry
from registry.versions import Lineage, Version
from trainers.job import origin
from trainers.job import spec as job_spec
from trainers.job.spec import JobResult, JobSpec


def add_version(
    registry: Registry, artifacts: ArtifactStore, run: Run, spec: JobSpec, result: JobResult, *, fencing_token: int
) -> Version:
    """Publish the run's model and record it with its lineage. Raises `RunFailedError` when the child left no model."""
    if result.model is None:
        message = f"run {run.run_id} says it is done but names no model; retrain with `perennial train {run.task}`"
        raise RunFailedError(message)
    number = registry.versions.next_number(run.task)
    published = artifacts.publish(run.task, number, result.model)
    learnt = pq.read_table(spec.run_dir / job_spec.LINEAGE_FILE, columns=["example_id"])["example_id"].to_pylist()
    # A full run starts from the base model: it has no parent to have learnt from.
    parent = None if spec.full else spec.champion_version
    if spec.teacher_name and teachers.is_version(spec.teacher_name):
        # A student has learnt what its teacher tells of its own texts: erasing one of them concerns both.
        learnt = sorted({*learnt, *registry.versions.learnt(spec.teacher_name)})
    if parent is not None:
        # What a parent has learnt counts as learnt; with each refresh every row again, the list would grow for ever.
        known = registry.versions.learnt(parent)
        learnt = [example_id for example_id in learnt if example_id not in known]
    lineage = Lineage(
        training_set_sha256=run.training_set_sha256 or "",
        seed=spec.training.seed,
        # What must not break is asked of every version, and says nothing of how one was made.
        settings=spec.model_dump(
            mode="json", include={"task", "training", "full", "refresh", "batch_size"}, exclude={"task": {"must_not_break"}}
        )
        | ({"overrides": spec.overrides.given} if spec.overrides.given else {}),
        code=origin.code(),
        counts=load_training_set(spec.training_set).manifest.counts,
    )
    return registry.versions.add(
        run.task,
        number,
        run_id=run.run_id,
        artifact_id=published.artifact_id,
        manifest_sha256=published.manifest_sha256,
        size_bytes=published.size_bytes,
        parent=parent,
        lineage=lineage,
        metrics=result.model_dump(mode="json", exclude={"model"}),
        learnt=learnt,
        fencing_token=fencing_token,
    )
