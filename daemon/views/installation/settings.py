"""The settings in force and where each came from; secrets are masked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import SecretStr

from config.keys import flatten
from config.settings import Settings, sources
from daemon.views.view import View

_MASK = "********"


class Setting(View):
    """One setting."""

    value: Any
    """What TOML can hold."""
    source: str
    """`default`, the file's path, or the variable."""


def in_force(settings: Settings) -> dict[str, Setting]:
    """Return every setting under its dotted key."""
    where = sources()
    flat = flatten(settings.model_dump(mode="python"))
    return {key: Setting(value=_shown(key, value), source=where.get(key, "default")) for key, value in flat.items()}


def _shown(key: str, value: object) -> object:
    if isinstance(value, SecretStr):
        return _MASK if value.get_secret_value() else ""
    if key == "registry.url" and value:
        return _without_password(str(value))
    return str(value) if isinstance(value, Path) else value


def _without_password(url: str) -> str:
    """Return a database URL as it may be shown; one that cannot be read is masked as a whole."""
    from sqlalchemy import make_url  # noqa: PLC0415 - heavy, and only this needs it
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415 - same

    try:
        parsed = make_url(url)
    except ArgumentError:
        return _MASK
    # The drivers also take passwords behind the question mark, which SQLAlchemy shows.
    return parsed.update_query_dict({name: "hidden" for name in parsed.query if "password" in name}).render_as_string(
        hide_password=True
    )
