"""Keeps what a look at a task's data found of near copies, so that the page has it too."""

from __future__ import annotations

from datetime import datetime

from config.settings import Settings
from consumers.labelling import kept
from daemon.views.data.near import Counts, Kept, NearCopies, Pair


def keep(settings: Settings, task: str, found: NearCopies, *, at: datetime) -> str:
    """Keep counts and ids, and no words of the texts; return why they could not be kept, empty where they are."""
    counts = found.model_dump(include=set(Counts.model_fields))
    pairs = tuple(Pair(test_id=one.test_id, train_id=one.train_id, alike=one.alike) for one in found.examples)
    try:
        kept.write(settings.near_copies_dir, Kept(at=at, pairs=pairs, **counts), task)
    except OSError as error:
        return f"near copies could not be kept in {settings.near_copies_dir} ({error.strerror}), so the page does not show them"
    return ""
