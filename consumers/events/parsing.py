"""`parse()`: bytes become one validated, frozen event or a `DeadLetterError`.

Two wire forms are read: plain JSON, and CloudEvents 1.0 (see `consumers/events/cloud_events.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from config.errors import DeadLetterError
from config.tasks import TaskSpec
from consumers.events.answers import check_answer
from consumers.events.cloud_events import Headers
from consumers.events.correcting import LabelCorrection, WeakLabelsWithdrawn
from consumers.events.errors import explain
from consumers.events.schemas import EVENT_TYPES, AnyEvent, Feedback, Label, PredictionMade, Retrain, TaskSchema
from consumers.events.targets import read_target
from consumers.events.wire import decode

_LOGS_BEGIN = datetime(2000, 1, 1, tzinfo=UTC)
"""What a log says arrived before that came without a time (-1 in Kafka)."""
_ADAPTER: TypeAdapter[AnyEvent] = TypeAdapter(Annotated[AnyEvent, Field(discriminator="type")])


def parse(
    value: bytes,
    *,
    tasks: Mapping[str, TaskSpec],
    now: datetime,
    future_tolerance: timedelta = timedelta(minutes=5),
    headers: Headers = (),
    arrived: datetime | None = None,
) -> AnyEvent:
    """Return the one event in `value`. Raises `DeadLetterError` naming the field, what is wrong and the remedy.

    `headers` came with it and `arrived` is when: they complete a CloudEvent.
    """
    at = None if arrived is None else min(arrived, now) if arrived >= _LOGS_BEGIN else now
    payload = decode(value, headers=headers, types=EVENT_TYPES, arrived=at.isoformat() if at else None)
    try:
        event = _ADAPTER.validate_python(payload)
    except ValidationError as error:
        raise explain(error, types=tuple(EVENT_TYPES)) from None
    if event.occurred_at > now + future_tolerance:
        reason = (
            f"occurred_at: {event.occurred_at.isoformat()} is more than {future_tolerance.total_seconds():.0f} s ahead of "
            f"this machine's clock ({now.isoformat(timespec='seconds')}); send the time the event happened, and check both clocks"
        )
        raise DeadLetterError(reason, field="occurred_at")
    if isinstance(event, Label | Feedback):
        return with_target_read(event, tasks)
    if isinstance(event, LabelCorrection):
        # Without its text, which the label has: whether spans lie inside is seen when it is applied.
        return event.model_copy(update={"target": read_target(_task(event.task, tasks), event.target)})
    if isinstance(event, Retrain | TaskSchema | PredictionMade | WeakLabelsWithdrawn):
        task = _task(event.task, tasks)
        if isinstance(event, PredictionMade):
            check_answer(task, event.answer, event.text)
    return event


def with_target_read(event: Label | Feedback, tasks: Mapping[str, TaskSpec]) -> Label | Feedback:
    """Return an event with its target as it is read; refuse one that does not fit its task or its text (`DeadLetterError`)."""
    task = _task(event.task, tasks)
    if event.target is None:
        return event
    return event.model_copy(update={"target": read_target(task, event.target, event.text)})


def _task(name: str, tasks: Mapping[str, TaskSpec]) -> TaskSpec:
    if name not in tasks:
        reason = f"task: {name!r} is not defined here; the tasks are {', '.join(sorted(tasks))}"
        raise DeadLetterError(reason, field="task")
    return tasks[name]
