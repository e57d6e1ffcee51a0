"""Moves the alias after the verdict `promote`, unless the task, the request, or a change in the meantime forbids it."""

from __future__ import annotations

from dataclasses import replace

import structlog

from config.errors import UserError
from config.tasks import TaskSpec
from registry import promotion
from registry.evidence import in_words
from registry.judging import gate
from registry.runs import Run
from registry.store import Registry
from trainers.compare.comparison import Comparison

ACTOR = "daemon"

log = structlog.get_logger(__name__)


def waits(registry: Registry, run: Run) -> bool:
    """Return whether a trained run waits for its verdict because somebody has paused its task."""
    return run.state == "published" and registry.pauses.of(run.task) is not None


def move_alias(
    registry: Registry, run: Run, task: TaskSpec, champion: str | None, decision: gate.Decision,
    *, comparison: Comparison, must_go: bool, fencing_token: int,
) -> gate.Decision:  # fmt: skip
    """Move the alias from the `champion` compared with; return what became of the decision, with the reason where it stayed.

    `must_go`: the champion learnt from erased texts, so a candidate that a person would look at does not wait for one.
    """
    assert run.version is not None  # noqa: S101 - checked by the caller; narrows the type
    if any(move.kind == "promote" and move.to_version == run.version for move in registry.versions.history(run.task)):
        # Promoted just before a crash; whatever somebody did to the alias since then stands.
        return decision
    if task.promotion.mode == "manual" or not run.promote:
        why = "promotion.mode is manual" if task.promotion.mode == "manual" else "the run was requested without promotion"
        return _kept(decision, f"{why}. Promote it with `perennial models promote {run.version}`.")
    level = decision.readiness.level if decision.readiness is not None else None
    if level == "REVIEW" and task.promotion.review == "wait" and not must_go:
        why = "a person is to look at it (promotion.review)"
        return _kept(decision, f"{why}. Promote it with `perennial models promote {run.version}`.")
    try:
        promotion.promote(
            registry,
            run.task,
            run.version,
            expected=champion,
            actor=ACTOR,
            reason=" ".join(decision.reasons),
            fencing_token=fencing_token,
            event={
                "run_id": run.run_id,
                "reasons": list(decision.reasons),
                "readiness": level,
                **in_words.told(comparison, task.promotion, run, decision),
            },
        )
    except UserError as error:  # the champion moved meanwhile, it is pinned, or somebody removed the candidate's files
        return _kept(decision, str(error))
    log.info("model.promoted", version=run.version, previous=champion)
    return decision


def of_one_class(decision: gate.Decision, label: str, rows: str) -> gate.Decision:
    """Return what becomes of a decision on `rows`, in words, of which all carry one `label`: nothing is decided by them."""
    why = f"All {rows} carry {label}: they say nothing of other labels. Label texts of others."
    return replace(decision, verdict="insufficient_evidence", reasons=(why, *decision.reasons))


def _kept(decision: gate.Decision, why: str) -> gate.Decision:
    return replace(decision, verdict="keep", reasons=(f"Not promoted: {why}", *decision.reasons))
