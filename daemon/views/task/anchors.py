"""The anchor set of each task: how large it is, and where its rows came from."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

from daemon.views.view import View

if TYPE_CHECKING:
    from consumers.buffer.reader import BufferReader

NEEDED = 50
"""With fewer rows forgetting is not judged (`trainers.compare.guarding.judging.MIN_ANCHOR_ROWS`)."""


class Part(View):
    """Rows of one origin."""

    origin: str
    """The import that brought them, or the oldest held-out documents."""
    rows: int
    documents: int
    oldest: datetime
    newest: datetime
    since: datetime
    """When the first of them came into the buffer."""


class AnchorSet(View):
    """One task's."""

    task: str
    rows: int
    needed: int = NEEDED
    parts: tuple[Part, ...]


def of(buffer: BufferReader, task: str) -> AnchorSet:
    """Return the anchor set of a task."""
    parts = tuple(Part.model_validate(part) for part in buffer.anchor_parts(task))
    return AnchorSet(task=task, rows=sum(part.rows for part in parts), parts=parts)


def every(buffer: BufferReader, tasks: Collection[str]) -> tuple[AnchorSet, ...]:
    """Return those of these tasks, in their order."""
    return tuple(of(buffer, task) for task in tasks)
