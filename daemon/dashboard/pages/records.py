"""Pages of what people and apps sent: feedback with its fate, and what could not be used."""

from __future__ import annotations

from starlette.responses import Response

from daemon.dashboard.routing import Look
from daemon.views import dead_letters as letters
from daemon.views import erasures, fates
from daemon.views import feedback as views
from daemon.views.corrections import Answers
from registry.artifacts.open import open_store

_SHOWN = 50
_LETTERS = 50


def feedback(look: Look) -> Response:
    """Return the standings, what waits for a person, users by trust, corrections in force, erasures, and one event's fate."""
    reader, settings, task = look.sources.reader, look.sources.settings, look.query.get("task") or None
    event = look.query.get("event", "").strip()
    corrections = Answers(reader.registry, open_store(settings.artifacts_dir), reader.tasks).in_force(task, _SHOWN)
    fate = None
    if event:
        with fates.opened(settings) as found:
            fate = found.of(event)
    return look.page(
        "feedback.html",
        here="Feedback",
        task=task,
        quarantine=views.quarantine(reader.buffer, settings, task, _SHOWN),
        standings={name: views.standings(reader.buffer, name) for name in sorted(reader.tasks)},
        users=views.users(reader.buffer, settings, task, _SHOWN),
        corrections=corrections,
        erasures=erasures.listed(settings, clock=look.sources.clock).erasures[:_SHOWN],
        event=event,
        fate=fate,
    )


def dead_letters(look: Look) -> Response:
    """Return the newest dead letters, those that were not replayed or all."""
    reader, everything = look.sources.reader, look.query.get("all") == "1"
    before = look.number("before", default=0, least=0, most=2**53)
    found = letters.listed(reader.dead_letters, _LETTERS + 1, include_replayed=everything, before=before or None)
    return look.page(
        "dead_letters.html",
        here="Dead letters",
        letters=found[:_LETTERS],
        more=found[_LETTERS - 1].id if len(found) > _LETTERS else None,
        everything=everything,
        waiting=reader.dead_letters.count(),
        set_aside=letters.set_aside(reader.buffer, _SHOWN),
    )


def dead_letter(look: Look) -> Response:
    """Return one dead letter: its reason and its bytes, which nothing here acts on."""
    found = letters.of_id(look.sources.reader.dead_letters, int(look.params["number"]))
    return look.page("dead_letter.html", here="Dead letters", letter=found)
