"""Before a freeze: labels that fall short on the test side take documents there; old test rows become anchors, or train."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import structlog

from config.sections import EnrichSettings
from config.tasks import TaskSpec
from consumers.buffer.writer import BufferWriter
from consumers.faults import of_the_machine
from daemon.training.preparing.held_out import share_of
from registry.store import Registry

_LOGGED_LABELS = 10
"""Labels that the log names one by one."""

log = structlog.get_logger(__name__)


def hold_out_more(buffer: BufferWriter, registry: Registry, task: TaskSpec, test_fraction: float) -> None:
    """Let labels of `task` that fall short on the test side take documents there that no version has learnt from."""
    found = buffer.hold_out_more(task, test_fraction=test_fraction, learnt=registry.versions.learnt_by_any())
    if len(found) > _LOGGED_LABELS:
        log.info("labels.held_out_more", labels=len(found), taken=sum(len(short.taken) for short in found))
    for short in found[:_LOGGED_LABELS]:
        counts = {"documents": short.documents, "held_out": short.held_out, "taken": len(short.taken)}
        log.info("label.held_out_more", label=short.label, **counts)


def retire(buffer: BufferWriter, registry: Registry, tasks: Mapping[str, TaskSpec], settings: EnrichSettings) -> None:
    """Let test rows train that have judged models and lie behind the window, in tasks that have enough newer ones.

    The oldest of them become the anchor set first, until it is full: what measures forgetting never trains.

    Rows of a task stay while people label for a pair of its models: each look at the pair counts them.
    """
    judging = {pool.task for pool in registry.pools.unclosed()}

    def judged(task: str, row_ids: Collection[str]) -> Collection[str]:
        return {row_id for row_id, looks in registry.looks.count(task, row_ids).items() if looks}

    try:
        for task in tasks.values():
            if registry.versions.champion(task.name) is not None and (rows := buffer.build_anchor(task)):
                log.info("anchor.joined", of=task.name, rows=rows)
        ready = {
            name: task for name, task in tasks.items() if name not in judging and _has_enough(task, buffer, registry, settings)
        }
        found = buffer.retire(ready, judged) if ready else []
    except Exception as error:
        if of_the_machine(error):
            raise
        # No row is worth a run: all stay where they are.
        log.exception("rows.not_retired", next="they stay test rows; the run goes on")
        return
    owners = Counter(why for one in found for why in one.labels.values())
    for why, rows in owners.items():
        log.info("rows.retired", rows=rows, reason=why, next="they train from now on, and test no version again")


def _has_enough(task: TaskSpec, buffer: BufferWriter, registry: Registry, settings: EnrichSettings) -> bool:
    if not task.promotion.retire_test_rows or buffer.counts(task.name).test == buffer.counts(task.name).test_in_window:
        return False
    share = share_of(task, registry, buffer, settings)
    return share.test_rows >= max(task.promotion.min_test_examples, share.needed)
