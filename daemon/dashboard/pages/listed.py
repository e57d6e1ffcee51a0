"""Pages that list one thing from top to bottom: history, ingest, the system, a runbook."""

from __future__ import annotations

from starlette.responses import Response

from daemon.dashboard.routing import Look
from daemon.views import history as histories
from daemon.views.installation import runbooks, system
from daemon.views.installation import settings as settings_views

_ENTRIES = 100


def history(look: Look) -> Response:
    """Return who changed what, when and why."""
    reader, task = look.sources.reader, look.query.get("task") or None
    return look.page(
        "history.html", here="History", task=task, entries=histories.entries(reader.registry, reader.buffer, task, _ENTRIES)
    )


def ingest(look: Look) -> Response:
    """Return how far ingest and enrichment have come, topic by topic and table by table."""
    gaps = look.sources.reader.registry.gaps.by_topic()
    return look.page("ingest.html", here="Ingest", status=look.sources.status(), events=look.sources.settings.events, gaps=gaps)


def installation(look: Look) -> Response:
    """Return the installation: leader, disk, backups, versions, and the settings in force with their source."""
    settings, status = look.sources.settings, look.sources.status()
    found = system.read(settings, look.sources.reader.registry, status.leader)
    return look.page("system.html", here="System", system=found, status=status, settings=settings_views.in_force(settings))


def runbook(look: Look) -> Response:
    """Return a runbook."""
    return look.page("runbook.html", runbook=runbooks.of_name(look.params["name"]))
