"""What a learner makes of a task's wish for a variant: which one, and what the run's report says of those that were tried."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import structlog

from perennial_artifact.variants.note import Variant
from trainers.export import catalog
from trainers.export.choosing import Attempt, Judge, Wish, choose, taken_over
from trainers.export.network import parent_of
from trainers.learners.protocols import TrainingPlan
from trainers.learners.tried import Tried

MOST_JUDGED = 3_000
"""Rows on which a variant is judged."""
_CALIBRATION_ROWS = 200

_LOG = structlog.get_logger(__name__)


def is_wished(plan: TrainingPlan) -> bool:
    """Return whether the task asks for a variant."""
    return plan.spec.export != catalog.NONE


def export(
    plan: TrainingPlan, output: Path, rows: Sequence[Sequence[int]], judge: Judge, *, champion: Path | None = None
) -> Variant | None:
    """Return the variant that the model in `output` is published with, which lies there then; None: its weights are served.

    `rows` are token ids of training rows; `champion` is one whose weights may be the same.
    """
    wish = Wish(plan.spec.export, plan.spec.export_budget)
    if champion is not None and (found := taken_over(wish, champion, output, parent_of(output))) is not None:
        name = f"export {found.name}: the champion's, whose encoder goes on"
        plan.note_tried(Tried(name=name, scores={}, cpu_s=0.0, chosen=True))
        return found
    scratch = plan.work_dir / "exports"
    try:
        return choose(
            wish, output, scratch, rows[:: -(-len(rows) // _CALIBRATION_ROWS)], plan.hardware, plan.export_limits, judge,
            tell=plan.tell, note=lambda attempt: _note(plan, attempt),
        )  # fmt: skip
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _note(plan: TrainingPlan, attempt: Attempt) -> None:
    verdict = "" if attempt.reason is None else f" refused: {attempt.reason}"
    name = f"export {attempt.name}{verdict}{f' ({attempt.told})' if attempt.told else ''}"
    chosen = attempt.reason is None
    plan.note_tried(Tried(name=name, scores=dict(attempt.scores), cpu_s=attempt.cpu_s, chosen=chosen))
    if chosen:
        _LOG.info("export.chosen", task=plan.spec.name, variant=attempt.name, told=attempt.told)
    else:
        _LOG.warning("export.refused", task=plan.spec.name, variant=attempt.name, reason=attempt.reason, told=attempt.told)
