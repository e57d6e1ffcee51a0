"""The report of a run as it was kept: a page of its own, in which nothing acts, or a file to keep."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from starlette.responses import Response

from config.errors import UserError
from daemon.dashboard.rendering import HEADERS
from daemon.dashboard.routing import Look
from daemon.views.models import reports as views
from daemon.views.models import runs as run_views

POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The file brings its style with it; there is no script, and none would run."""


def page(look: Look) -> Response:
    """Return the HTML report of a run; with `?save` as a file to keep."""
    return _sent(look, views.HTML_FILE, "text/html; charset=utf-8", saved="save" in look.query)


def text(look: Look) -> Response:
    """Return the Markdown report of a run as a file to keep."""
    return _sent(look, views.MARKDOWN_FILE, "text/markdown; charset=utf-8", saved=True)


def _sent(look: Look, name: str, kind: str, *, saved: bool) -> Response:
    run = run_views.of_id(look.sources.reader.registry, look.params["run"])
    content = views.kept(look.sources.settings, run.run_id, name)
    if content is None:
        message = f"no report of {run.run_id} is kept; `perennial report {run.run_id}` makes one of what is known"
        raise UserError(message)
    headers: Mapping[str, str] = {**HEADERS, "Content-Security-Policy": POLICY}
    if saved:
        headers = {**headers, "Content-Disposition": f'attachment; filename="{run.run_id}-{Path(name).name}"'}
    return Response(content, media_type=kind, headers=dict(headers))
