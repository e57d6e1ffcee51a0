"""`perennial models diff`: both versions are asked where no run has recorded what they answer to the same rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from config.errors import PerennialError, UserError
from config.files import private
from config.settings import Settings
from config.tasks import TaskSpec
from config.words import counted
from consumers.formats.importing import Import
from consumers.formats.rows import BadRow
from daemon.operations.evaluating import evaluate
from daemon.operations.evaluating.evaluate import Candidate
from daemon.operations.evaluating.rows import read
from daemon.training.aside import scratch_folder
from daemon.views import opening
from daemon.views.models import changes, versions
from daemon.views.models.changes import Changes
from daemon.views.models.versions import Diff
from registry.artifacts.open import open_store
from trainers.job import spec as job_spec

_MOST_ASKED = 2_000
"""Held-out rows that both are asked, the newest."""


def difference(
    settings: Settings,
    left: str,
    right: str,
    *,
    plan: Callable[[TaskSpec], Import] | None,
    limit: int,
    bad: Callable[[BadRow], None],
    report: Callable[[int, int], None],
) -> Diff:
    """Return how two versions differ, and which answers changed: of the rows of `plan`, else recorded, else of held-out rows.

    Raises `UserError` for a version that does not exist, and for a file without a row to ask. Where nothing is recorded and both
    cannot be asked, the difference says why.
    """
    with opening.registry(settings) as registry:
        found = versions.difference(registry, left, right, settings.runs_dir, limit=limit)
        store = open_store(settings.artifacts_dir)
        folders = {name: str(store.folder(registry.versions.get(name).artifact_id)) for name in (left, right)}
    if plan is None and found.changes is not None:
        return found
    try:
        changed = _asked(settings, left, right, plan, limit=limit, bad=bad, report=report)
    except PerennialError as error:
        if plan is not None:
            raise
        why = str(error)
        for name, folder in folders.items():
            # Who reads it asked for a version.
            why = why.replace(folder, name)
        return found.model_copy(update={"not_asked": why})
    return found.model_copy(update={"changes": changed})


def _asked(
    settings: Settings, left: str, right: str, plan: Callable[[TaskSpec], Import] | None, *, limit: int,
    bad: Callable[[BadRow], None], report: Callable[[int, int], None],
) -> Changes:  # fmt: skip
    models = evaluate.models_of(settings, (left, right))
    seen_before = evaluate.known(settings, evaluate.task_of(settings, models, None), models)
    # With the labels in force: another name for what a label says is no change.
    task = seen_before.task
    if plan is not None:
        file = plan(task)
        rows = read(file, seen_before, with_learnt=False, bad=bad).table
        of = f"{counted(rows.num_rows, 'row')} of {file.source.path.name} that neither has learnt from"
    else:
        rows = _held_out(settings, task, models)
        of = f"{counted(rows.num_rows, 'held-out row')} that neither has learnt from, the newest"
    models_in_force = evaluate.opened(settings, task, models)
    scores = evaluate.scored(task, models_in_force, rows, report)
    scores = scores.rename_columns({"candidate": "after", "opponent": "before"})
    texts = dict(zip(rows["example_id"].to_pylist(), rows["text"].to_pylist(), strict=True))
    told = scores.select(["example_id", "gold", "before", "after"]).to_pylist()
    return changes.of_answers(told, texts, before=left, after=right, of=of, limit=limit)


def _held_out(settings: Settings, task: TaskSpec, models: Sequence[Candidate]) -> pa.Table:
    """Return the newest rows that are held out and that none of the models has learnt. Raises `UserError` without any."""
    learnt = frozenset[str]().union(*(model.learnt or () for model in models))
    if not settings.buffer_dir.exists():
        message = f"{task.name} has no held-out rows; give a FILE of labelled rows"
        raise UserError(message)
    private.prepare(settings.data_dir)
    with opening.buffer(settings) as buffer, scratch_folder(settings.runs_dir) as folder:
        frozen = buffer.freeze(
            task, run_id=folder.name.lstrip("."), folder=_in(folder), learnt=frozenset(), max_rows=1, embeddings=False
        )
        rows = frozen.rows(*changes.ROLES, embeddings=False)
    rows = rows.filter(pc.invert(pc.is_in(rows["example_id"], value_set=pa.array(sorted(learnt), pa.string()))))
    if not rows.num_rows:
        message = f"{task.name} has no held-out row that neither has learnt from; give a FILE of labelled rows"
        raise UserError(message)
    return rows.sort_by([("event_time", "descending")]).slice(0, _MOST_ASKED)


def _in(folder: Path) -> Path:
    return folder / job_spec.TRAINING_SET_FOLDER
