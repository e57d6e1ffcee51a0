"""The settings, read when a command asks for them: what reads them loads slowly, and neither help nor completion needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.settings import Settings


def load_settings() -> Settings:
    """Return what `config.settings.load_settings` does, and raise the same."""
    from config import settings  # noqa: PLC0415 - heavy

    return settings.load_settings()
