"""A person asks to forget a user or an article: the request, how far it has come, and taking the refusal back."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import closing

from pydantic import ValidationError

from config.clock import utc_now
from config.errors import RetryError, UserError
from config.settings import Settings
from consumers.erasure.requests import Erasures
from consumers.erasure.tombstones import Kind
from consumers.events import schemas as events
from consumers.log.open import publish
from registry.people.audit import By, refuse_named
from registry.store import Registry

_LOOK_S = 1.0
_NOBODY = "no daemon is running. The request is kept; start a daemon with `perennial run` to process it"


def request(user: str | None, article: str | None) -> events.Erase:
    """Return the event that requests the erasure. Raises `UserError` for an id that no event can carry."""
    event_id = f"erase-{secrets.token_hex(8)}"
    try:
        return events.Erase(event_id=event_id, occurred_at=utc_now(), source="perennial erase", user_id=user, article_id=article)
    except ValidationError as error:
        wrong = " and ".join(repr(problem["input"]) for problem in error.errors())
        message = f"{wrong} is not an id that an event can carry, so nothing is stored under it; nothing was requested"
        raise UserError(message) from None


def ask(settings: Settings, event: events.Erase, by: By) -> None:
    """Record who asks, never for whom, and publish the request durably, for the leading daemon or the next one.

    Raises `UserError` for a reason that names the user or the article.
    """
    _note(settings, "erasure.request", by, event.user_id, event.article_id, event=event.event_id)
    publish(settings, event)


def followed(settings: Settings, event_id: str) -> Iterator[str]:
    """Give each state as it is reached, in words, until it is done. Raises `RetryError` where no daemon runs."""
    try:
        registry = Registry.open(settings.registry_url, read_only=True)
    except RetryError:
        raise RetryError(_NOBODY) from None
    told = ""
    with registry, closing(Erasures(settings.data_dir)) as listed:
        while True:
            one = listed.of_event(event_id)
            now = "requested" if one is None else f"{one.state}{f': {one.note}' if one.note else ''}"
            if now != told:
                yield now
                told = now
            if one is not None and one.done_at is not None:
                return
            if registry.lease.holder() is None:
                raise RetryError(_NOBODY)
            time.sleep(_LOOK_S)


def let_in_again(settings: Settings, user: str | None, article: str | None, by: By) -> list[Kind]:
    """Have new events of a user or an article stored again; returns which of the two were refused.

    Raises `UserError` where neither was ever erased, and for a reason that names one of them.
    """
    if not Erasures.exist(settings.data_dir):
        message = f"nothing was ever erased in {settings.data_dir}"
        raise UserError(message)
    named: list[tuple[Kind, str | None]] = [("user", user), ("article", article)]
    with closing(Erasures(settings.data_dir)) as listed:
        refused = listed.tombstones()
        if not any(refused.has(kind, name) for kind, name in named):
            message = "it was never erased here, so its events are not refused; nothing was changed"
            raise UserError(message)
        _note(settings, "erasure.let_in", by, user, article)
        return [kind for kind, name in named if name and listed.forget(kind, name)]


def _note(settings: Settings, action: str, by: By, user: str | None, article: str | None, **details: str) -> None:
    named = {"user": user, "article": article}
    refuse_named(by.reason, named)
    what = " and ".join(kind for kind, name in named.items() if name)
    with Registry.open(settings.registry_url) as registry:
        registry.audit.add(action, actor=by.actor, reason=by.reason, subject=what, details=details)
