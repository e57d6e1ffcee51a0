"""What the oracle and a second person say of a run's test rows, put into its folder: its child sets them beside its models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import structlog

from config.errors import RetryError, StopError
from config.tasks import TaskSpec
from consumers.buffer.reader import BufferReader
from consumers.events.schemas import content_sha256
from consumers.labelling.oracle.known import Known, answers_about
from consumers.rows.arriving.event_rows import canonical_json
from consumers.training_set.beside import in_force_target
from trainers.job.scoring import siding
from trainers.job.spec import JobSpec

log = structlog.get_logger(__name__)


def note_others(spec: JobSpec, task: TaskSpec, test: pa.Table, buffer: BufferReader, data_dir: Path) -> None:
    """Write it, `task` as its file has it, where anybody has said anything. `test`: the run's test rows.

    A ledger that cannot be read is told of, and the run goes on without it.
    """
    counting = {
        content_sha256(text): example_id
        for example_id, text in zip(test["example_id"].to_pylist(), test["text"].to_pylist(), strict=True)
    }
    try:
        known = answers_about(data_dir, spec.task.name, counting)
    except (RetryError, StopError) as error:
        log.warning("run.oracle_not_read", reason=str(error), next="the run goes on; its report says nothing of the oracle")
        known = Known()
    people = buffer.second_people(task, counting)
    if not known.said and not known.refused and not people:
        return
    siding.write(
        spec, oracle=_by_example(known.said, counting, spec.task), people=_by_example(people, counting, None),
        refused=known.refused, prompt=known.prompt,
    )  # fmt: skip


def _by_example(
    said: Mapping[str, Mapping[str, Any]], counting: Mapping[str, str], task: TaskSpec | None
) -> dict[str, Mapping[str, Any]]:  # fmt: skip
    """Return targets by example id; with a task, which has its labels in force, as they read under these."""
    found = {}
    for sha, target in said.items():
        read = target if task is None else in_force_target(canonical_json(target), task)
        if read is not None:
            found[counting[sha]] = read
    return found
