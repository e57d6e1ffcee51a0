"""Feedback: standings, what waits for a person, who gave it, and what became of one answer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from config.settings import Settings
from config.task_files.sections.feedback import Verdict
from daemon.views.view import View

if TYPE_CHECKING:
    from consumers.buffer.reader import BufferReader

Standing = str
"""Such as `effective`, `conflict` or `over_cap`: one of `consumers.defence.standings`."""
FateStatus = Literal["queued", "waiting", "joined", "quarantined", "set_aside", "held_out", "refused", "dead_letter", "learnt"]


class Alarm(View):
    """A label-flip alarm that is up: corrections it holds until a person has decided."""

    move: str
    held: int
    users: int
    since: datetime
    """When the first of them arrived."""


class AlarmOfTask(Alarm):
    """An alarm, and whose it is."""

    task: str


class Standings(View):
    """The standings of one task's feedback."""

    standings: dict[Standing, int]
    """Answers by standing."""
    alarms: tuple[Alarm, ...]
    quarantined: int
    """Answers that wait for a person."""


class Quarantined(View):
    """One answer that waits for a person."""

    event_id: str
    task: str
    user_id: str
    source: str | None
    verdict: Verdict
    standing: Standing
    alarm: str | None
    target: dict[str, Any]
    text: str
    arrived_at: datetime


class Quarantine(View):
    """What waits for a person, oldest arrival first, and the alarms that are up."""

    waiting: int
    """All that wait, listed here or not."""
    alarms: tuple[AlarmOfTask, ...]
    feedback: tuple[Quarantined, ...]


class User(View):
    """What is known of one user in one task."""

    task: str
    contributor: str
    """The user id; behind `key:NAME` and a space where it was posted with an API key."""
    trust: float
    excluded: bool
    agreed: int
    unearned: int
    contradicted: int
    answers: int
    effective: int


class Progress(View):
    """How far one feedback event has come, in three steps that may come in any order and none of which needs the others."""

    answers_since: datetime | None = None
    """Since when the correction is ready to answer for its own text; None where it never was, or was taken away."""
    answers: bool = False
    """Whether it answers now: it does until the champion, or one of its parents, has learnt it."""
    learnt_in: str | None = None
    """The first version that learnt from it."""
    in_champion: bool = False
    """Whether it is live: the champion, or one of its parents, learnt from it."""


class FeedbackFate(Progress):
    """What became of one feedback event."""

    event_id: str
    task: str | None
    status: FateStatus
    reason: str
    accepted_at: datetime | None = None
    example_id: str | None = None
    champion: str | None = None


def standings(buffer: BufferReader, task: str) -> Standings:
    """Return the standings of a task's feedback."""
    return Standings.model_validate(buffer.defence(task))


def quarantine(buffer: BufferReader, tasks: Iterable[str], task: str | None, limit: int) -> Quarantine:
    """Return what waits for a person, of one task or of all these."""
    found: dict[str, Standings] = {name: standings(buffer, name) for name in ([task] if task else sorted(tasks))}
    return Quarantine(
        waiting=sum(state.quarantined for state in found.values()),
        alarms=tuple(AlarmOfTask(task=name, **alarm.model_dump()) for name, state in found.items() for alarm in state.alarms),
        feedback=tuple(
            Quarantined(
                event_id=one.event_id,
                task=one.task,
                user_id=one.user_id,
                source=one.source,
                verdict=one.verdict,
                standing=one.standing,
                alarm=one.alarm,
                target=json.loads(one.target),
                text=one.text,
                arrived_at=one.arrived_at,
            )
            for one in buffer.quarantined(task, limit)
        ),
    )


def users(buffer: BufferReader, settings: Settings, task: str | None, limit: int) -> list[User]:
    """Return who gave feedback, the least trusted first."""
    return [User.model_validate(one) for one in buffer.users(task, settings.feedback)[:limit]]
