"""Before a freeze: labels that fall short on the test side take documents there."""

from __future__ import annotations

import structlog

from config.tasks import TaskSpec
from consumers.buffer.writer import BufferWriter
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
