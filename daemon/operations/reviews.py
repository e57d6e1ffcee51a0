"""A person's decision about feedback, handed over to the leading daemon through the event log."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from config.clock import utc_now
from config.errors import UserError
from config.settings import Settings
from config.words import counted
from consumers.buffer.reader import BufferReader
from consumers.defence.arrivals import user_of
from consumers.events import schemas as events
from consumers.log.open import publish
from daemon.views import opening
from registry.people.audit import By, refuse_named
from registry.store import Registry

_IDS_PER_EVENT = 1_000


@dataclass(frozen=True, slots=True)
class About:
    """What the decision is about: feedback by its ids, all that a user has sent so far, or all that an alarm of a task holds."""

    event_ids: Sequence[str] = ()
    user: str | None = None
    task: str | None = None
    alarm: str | None = None


def decide(settings: Settings, decision: Literal["accept", "reject"], about: About, by: By) -> bool:
    """Record who decides, publish it durably, and return whether a daemon runs that applies it (else the next one does).

    Only the leader writes the buffer, and the log keeps the decision until one leads. Raises `UserError`, and
    decides nothing, when `about` names nothing, more than one thing, or something unknown, or the reason a user.
    """
    if bool(about.event_ids) + (about.user is not None) + (about.alarm is not None) != 1 or (about.task is None) != (
        about.alarm is None
    ):
        message = "name feedback by its ids, or give --user, or give --task with --alarm"
        raise UserError(message)
    refuse_named(by.reason, {"user": about.user})
    with opening.buffer(settings) as buffer:
        _refuse_unknown(settings, buffer, about)
    decided = [
        events.FeedbackReview(
            event_id=f"review-{secrets.token_hex(8)}", occurred_at=utc_now(), source="perennial feedback", decision=decision,
            **selection,
        )
        for selection in _selections(about)
    ]  # fmt: skip
    with Registry.open(settings.registry_url) as registry:
        registry.audit.add(
            f"feedback.{decision}", actor=by.actor, reason=by.reason, task=about.task, subject=_subject(about),
            details={"events": [one.event_id for one in decided]},
        )  # fmt: skip
        for one in decided:
            publish(settings, one)
        return registry.lease.holder() is not None


def _subject(about: About) -> str:
    """Return what it is about without an id that a sender or a user chose: those go when they are erased, and entries stay."""
    if about.user is not None:
        return "all feedback of a user"
    return f"alarm {about.alarm}" if about.alarm is not None else counted(len(about.event_ids), "feedback event")


def _selections(about: About) -> list[dict[str, Any]]:
    if about.user is not None:
        return [{"user_id": about.user}]
    if about.alarm is not None:
        return [{"task": about.task, "alarm": about.alarm}]
    ids = about.event_ids
    return [{"event_ids": tuple(ids[at : at + _IDS_PER_EVENT])} for at in range(0, len(ids), _IDS_PER_EVENT)]


def _refuse_unknown(settings: Settings, buffer: BufferReader, about: About) -> None:
    unknown = [one for one in about.event_ids if buffer.feedback_fate(one) is None]
    if unknown:
        message = (
            f"no feedback {', '.join(unknown[:10])} is stored; nothing was decided. `perennial feedback quarantine` lists ids"
        )
        raise UserError(message)
    if about.alarm is not None:
        up = [one.move for one in buffer.defence(about.task or "").alarms]
        if about.alarm not in up:
            message = (
                f"task {about.task!r} has no open alarm {about.alarm!r}; nothing was decided. Open are: {', '.join(up) or 'none'}"
            )
            raise UserError(message)
    known = buffer.users(None, settings.feedback) if about.user is not None else ()
    if about.user is not None and not any(user_of(one.contributor) == about.user for one in known):
        message = (
            f"no judged feedback of user {about.user!r} is stored; nothing was decided. `perennial feedback users` lists them"
        )
        raise UserError(message)
