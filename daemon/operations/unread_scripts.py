"""What `perennial doctor` says of texts in scripts that the sentence encoder cannot read."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import timedelta

from config.errors import PerennialError
from config.settings import Settings
from config.tasks import TaskSpec

WINDOW = timedelta(days=30)
_LEAST_SHARE = 0.01
_LANGUAGES_NAMED = 5


def in_words(settings: Settings, tasks: Mapping[str, TaskSpec]) -> str | None:
    """Return which of the newest texts the encoder could not read; None when it reads all but a few, or nothing is there yet."""
    if not settings.buffer_dir.exists():
        return None
    from consumers.buffer.open import open_reader  # noqa: PLC0415 - heavy

    try:
        buffer = open_reader(settings.buffer_dir, tasks=tasks)
        with contextlib.closing(buffer):
            unread, total = buffer.unread_languages(WINDOW)
    except (PerennialError, OSError, ValueError, RuntimeError):
        return None  # the check of the buffer tells what is wrong with it
    count = unread.total()
    if count == 0 or count < _LEAST_SHARE * total:
        return None
    named = ", ".join(f"{language} {texts}" for language, texts in unread.most_common(_LANGUAGES_NAMED))
    return f"{settings.enrich.encoder} cannot read {count} of the {total} newest texts ({named})"
