"""What becomes of a look: the gate's verdict, its evidence, the alias, the record.

In this order, so that a daemon killed anywhere repeats or finishes it: evidence that nothing came of is written again, an alias
that has moved is found with its evidence, and what is told of a look is recorded in one step with it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from config.errors import UserError
from config.settings import Settings
from config.tasks import TaskSpec
from config.words import counted
from daemon.training.concluding import promoting
from daemon.training.concluding.proving import prove_look
from daemon.training.pools.looking import Look, of_test
from daemon.training.sandbox import step as sandboxed
from daemon.training.sandbox.protocol import recorded
from registry.evidence import bundle, in_words, names
from registry.evidence.circumstances import Circumstances
from registry.judging.gate import Decision
from registry.people import later_verdicts
from registry.people.pools import Pool
from registry.removal import erasure
from registry.runs import Run
from registry.store import Registry
from trainers.compare.comparison import Comparison


def decided(registry: Registry, pool: Pool, task: TaskSpec, found: Look, settings: Settings, *, fencing_token: int) -> Run:
    """Judge a look by the gate, promote by the usual path, and record the run's new verdict; return the run with it."""
    run, comparison = registry.runs.get(pool.run_id), found.comparison
    must_go = erasure.is_affected(registry, pool.champion)
    asked = Circumstances(
        policy=task.promotion, champion_must_go=must_go, test_fraction=settings.enrich.test_fraction_while_short,
        served=sandboxed.served(recorded(registry.versions.get(pool.candidate))),
    )  # fmt: skip
    judged = asked.decide(comparison)
    prove = partial(
        prove_look, registry, settings.evidence_dir, run, pool, found.order, rows=found.rows, comparison=comparison,
        circumstances=asked, judged=judged, fencing_token=fencing_token,
    )  # fmt: skip
    decision = _beside_the_gate(registry, pool, comparison, judged)
    prove(told=decision)
    if decision.verdict == "promote":
        moved = promoting.move_alias(
            registry, run, task, pool.champion, decision, comparison=comparison, must_go=must_go, fencing_token=fencing_token
        )
        if moved is not decision:
            prove(told=moved)
            decision = moved
    return _recorded(registry, pool, task, comparison, decision, fencing_token=fencing_token)


def finished(registry: Registry, pool: Pool, task: TaskSpec, settings: Settings, *, fencing_token: int) -> Run | None:
    """Record a look that had moved the alias before the daemon was killed; None where none had, or its evidence is gone."""
    run = registry.runs.get(pool.run_id)
    moves = [one for one in registry.versions.history(pool.task) if one.to_version == pool.candidate and one.kind == "promote"]
    if run.verdict != "insufficient_evidence" or not moves or moves[-1].actor != promoting.ACTOR:
        return None
    try:
        about = bundle.About.of(bundle.path_of(settings.evidence_dir, names.name_of(run.run_id, pool.looks + 1)))
    except UserError:
        return registry.runs.update(
            run.run_id, verdict="promote", reasons=(moves[-1].reason,), fencing_token=fencing_token
        )  # fmt: skip
    comparison = Comparison.model_validate(about.comparison)
    judged = Circumstances.model_validate(about.circumstances).decide(comparison)
    decision = _beside_the_gate(registry, pool, comparison, judged)
    return _recorded(registry, pool, task, comparison, decision, fencing_token=fencing_token)


def _beside_the_gate(registry: Registry, pool: Pool, comparison: Comparison, judged: Decision) -> Decision:
    decision = judged
    if comparison.asked is not None and comparison.asked.only_label:
        decision = promoting.of_one_class(decision, comparison.asked.only_label, counted(comparison.rows, "labelled row"))
    findings = recorded(registry.versions.get(pool.candidate))
    return decision if findings is None else sandboxed.judged(decision, findings)


def _recorded(
    registry: Registry, pool: Pool, task: TaskSpec, comparison: Comparison, decision: Decision, *, fencing_token: int
) -> Run:
    run = registry.runs.get(pool.run_id)
    level = decision.readiness.level if decision.readiness is not None else None
    event: dict[str, Any] = {
        "event_id": f"{run.run_id}:training.finished:look-{pool.looks + 1}", "type": "training.finished",
        "task": run.task, "run_id": run.run_id, "verdict": decision.verdict, "reasons": list(decision.reasons),
        "version": run.version, "refresh": run.refresh, "look": pool.looks + 1, "readiness": level,
        **in_words.told(comparison, task.promotion, run, decision),
    }  # fmt: skip
    return later_verdicts.record(
        registry, pool, of_test(comparison), verdict=decision.verdict, reasons=decision.reasons,
        comparison=decision.noted_in(comparison).model_dump(mode="json"),
        event=None if decision.verdict == "insufficient_evidence" else event, fencing_token=fencing_token,
    )  # fmt: skip
