"""Imports as a whole: which there are, and taking one back."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from config.clock import utc_now
from config.errors import UserError
from config.settings import Settings
from consumers.events.schemas import ImportUndo
from consumers.log.open import publish
from consumers.rows.arriving.imports import Imported
from daemon.views import opening

_ID = re.compile(r"(?:import-)?([0-9a-f]{16})(?:-\d+)?")


@dataclass(frozen=True, slots=True)
class Undone:
    """An import that is taken back."""

    import_id: str
    rows: int
    """That are stored now."""
    event_id: str


def listed(settings: Settings) -> list[Imported]:
    """Return the imports whose rows are stored, the newest first. Raises `UserError` where nothing has run yet."""
    with opening.buffer(settings) as buffer:
        return buffer.imports()


def undo(settings: Settings, import_id: str, *, by: str, why: str) -> Undone:
    """Ask the daemon to take back an import, by its id or that of one of its events.

    Raises `UserError`, and asks for nothing, where no row of it is stored: it is undone already, or there never was one.
    """
    found = _ID.fullmatch(import_id.strip())
    if found is None:
        message = f"{import_id!r} is no id of an import: 16 digits and letters a to f, as `perennial import list` shows them"
        raise UserError(message)
    one = next((one for one in listed(settings) if one.import_id == found[1]), None)
    if one is None:
        message = (
            f"no row of import {found[1]} is stored: it was taken back already, or never came here. Nothing was asked for; "
            "`perennial import list` shows those that are"
        )
        raise UserError(message)
    event_id = f"undo-{secrets.token_hex(8)}"
    publish(settings, ImportUndo(
        event_id=event_id, occurred_at=utc_now(), source=by[:200], import_id=one.import_id, reason=why or None,
    ))  # fmt: skip
    return Undone(one.import_id, sum(one.tasks.values()) + one.articles, event_id)
