"""Erasures: who asked to forget what, how far each has come, and what it waits for."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta

from config.clock import Clock, utc_now
from config.settings import Settings
from consumers.erasure import requests
from daemon.views.view import View


class Erasure(View):
    """One request."""

    number: int
    what: str
    """`user`, `article`, `user and article`, or `rows that came back`; never whose."""
    state: str
    """The last step that was reached, in words."""
    late: bool
    """Not done though it was asked for longer ago than `erasure.limit_hours`."""
    requested_at: datetime
    removed_at: datetime | None
    purged_at: datetime | None
    retrain_at: datetime | None
    done_at: datetime | None
    note: str
    """What it waits for, in words."""


class Erasures(View):
    """All of them, and the limit they are measured by."""

    limit_hours: float
    erasures: tuple[Erasure, ...]


def listed(settings: Settings, *, clock: Clock = utc_now) -> Erasures:
    """Return every erasure, newest first; none where nothing was ever erased."""
    found: list[requests.Erasure] = []
    if requests.Erasures.exist(settings.data_dir):
        with closing(requests.Erasures(settings.data_dir)) as opened:
            found = opened.all()
    limit = timedelta(hours=settings.erasure.limit_hours)
    return Erasures(limit_hours=settings.erasure.limit_hours, erasures=tuple(_of(one, clock(), limit) for one in found))


def in_words(erasure: requests.Erasure) -> str:
    """Return one line about an erasure."""
    waits = f": {erasure.note}" if erasure.note else ""
    return f"erasure {erasure.number} ({erasure.what}, {erasure.requested_at:%Y-%m-%d %H:%M} UTC): {erasure.state}{waits}"


def _of(record: requests.Erasure, now: datetime, limit: timedelta) -> Erasure:
    own = {name: getattr(record, name) for name in Erasure.model_fields if name != "late"}
    return Erasure(late=record.is_late(now, limit), **own)
