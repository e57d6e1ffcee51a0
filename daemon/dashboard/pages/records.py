"""The page of what people say: feedback with its fate, users, corrections in force, erasures."""

from __future__ import annotations

from starlette.responses import Response

from daemon.dashboard.routing import Look
from daemon.views import erasures
from daemon.views.feedback import fates
from daemon.views.feedback import overview as views
from daemon.views.feedback.corrections import Answers
from registry.artifacts.open import open_store

_SHOWN = 50


def feedback(look: Look) -> Response:
    """Return the standings, what waits for a person, users by trust, corrections in force, erasures, and one event's fate."""
    reader, settings, task = look.sources.reader, look.sources.settings, look.query.get("task") or None
    event = look.query.get("event", "").strip()
    corrections = Answers(reader.registry, open_store(settings.artifacts_dir), reader.tasks).in_force(task, _SHOWN)
    fate = None
    if event:
        with fates.opened(settings, reader.tasks) as found:
            fate = found.of(event)
    return look.page(
        "feedback.html",
        here="Feedback",
        task=task,
        quarantine=views.quarantine(reader.buffer, reader.tasks, task, _SHOWN),
        standings={name: views.standings(reader.buffer, name) for name in sorted(reader.tasks)},
        users=views.users(reader.buffer, settings, task, _SHOWN),
        corrections=corrections,
        erasures=erasures.listed(settings, clock=look.sources.clock).erasures[:_SHOWN],
        event=event,
        fate=fate,
    )
