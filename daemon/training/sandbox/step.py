"""The step between publishing and the verdict: done once for a version, and found done after a crash."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from config.tasks import TaskSpec
from daemon.training.sandbox.order import Findings
from daemon.training.sandbox.protocol import Sandbox, recorded
from registry.judging import gate
from registry.runs import Run
from registry.store import Registry
from trainers.compare.guarding.served import Served
from trainers.compare.readiness import Readiness
from trainers.job.spec import JobSpec

log = structlog.get_logger(__name__)


def checked(
    sandbox: Sandbox,
    registry: Registry,
    run: Run,
    spec: JobSpec,
    task: TaskSpec,
    *,
    ended: Callable[[], bool],
    fencing_token: int,
) -> Findings | None:
    """Return what the sandbox finds of a run's version, or found before; None where it was stopped meanwhile.

    Raises as `Sandbox.check` does.
    """
    assert run.version is not None  # noqa: S101 - checked by the caller; narrows the type
    version = registry.versions.get(run.version)
    if (before := recorded(version)) is not None:
        return before
    found = sandbox.check(version, spec, task, ended)
    if found is None:
        log.info("sandbox.stopped", version=version.name)
        return None
    if found.cpu_s is not None:
        registry.runs.update(run.run_id, cpu_s=(run.cpu_s or 0.0) + found.cpu_s, fencing_token=fencing_token)
    registry.versions.note_sandbox(version.name, found.model_dump(mode="json"), fencing_token=fencing_token)
    tell = log.info if found.outcome == "passed" else log.error
    tell(
        f"sandbox.{found.outcome}", version=version.name, reason=found.reason, scope=found.scope, texts=found.texts,
        load_s=round(found.load_s, 2), p95_ms=found.p95_ms, peak_memory_mib=round(found.peak_memory_mib), cpu_s=found.cpu_s,
    )  # fmt: skip
    return found


def judged(decision: gate.Decision, found: Findings) -> gate.Decision:
    """Return what becomes of the gate's decision: what the sandbox refused is not promoted, whatever its score."""
    if found.outcome == "passed":
        return decision
    limits = decision.readiness.limits if decision.readiness is not None else ()
    why = f"Not promoted: the sandbox refused it, because {found.reason}."
    return gate.Decision("keep", (why, *decision.reasons), Readiness(level="FAIL", limits=limits), decision.guards)


def served(found: Findings | None) -> Served | None:
    """Return what of it the gate looks at: of a head alone that neither time nor memory, which are the whole model's."""
    if found is None:
        return None
    whole = found.scope == "model"
    return Served(
        p95_ms=found.p95_ms if whole else None,
        peak_memory_mib=found.peak_memory_mib if whole else None,
        examples=found.examples,
        broken=found.broken,
    )
