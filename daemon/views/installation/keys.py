"""API keys as they may be shown: whose they are and what they open, never the key."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from config.errors import UserError
from config.settings import Settings
from daemon.views.view import View
from registry.people.api_keys import ApiKey as Record
from registry.people.api_keys import Scope
from registry.store import Registry


class ApiKey(View):
    """One key."""

    name: str
    id: str
    scopes: tuple[Scope, ...]
    state: Literal["active", "expired", "revoked"]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None


def of(record: Record, now: datetime) -> ApiKey:
    """Return the view of a registry's record, as it counts at `now`."""
    return ApiKey(
        name=record.name,
        id=record.key_id,
        scopes=record.scopes,
        state=record.state(now),
        created_at=record.created_at,
        last_used_at=record.last_used_at,
        expires_at=record.expires_at,
        revoked_at=record.revoked_at,
    )


def listed(registry: Registry) -> list[ApiKey]:
    """Return every key that was ever made."""
    return [of(record, registry.clock()) for record in registry.api_keys.list()]


def any_made(settings: Settings, *, read_only: bool = False) -> bool:
    """Return whether a key was ever made; none was where there is no registry.

    Raises `RetryError` and `StopError` as opening the registry does; a URL that cannot be used is told by whoever needs it.
    """
    try:
        with Registry.open(settings.registry_url, read_only=read_only, create=False) as registry:
            return bool(registry.api_keys.list())
    except UserError:
        return False
