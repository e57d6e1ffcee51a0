"""Templates become pages: everything is escaped, what strangers wrote is inert, and nothing but our own files is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from config.words import counted
from daemon.dashboard import shown
from daemon.dashboard.assets import Assets
from daemon.dashboard.visitor import Right, Visitor

TEMPLATES = Path(__file__).parent / "templates"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""No inline script or style, nothing of another host, no frame around it."""
NAVIGATION: tuple[tuple[str, str, Right], ...] = (
    ("/ui", "Flow", "view"),
    ("/ui/runs", "Runs", "view"),
    ("/ui/versions", "Versions", "view"),
    ("/ui/history", "History", "view"),
    ("/ui/ingest", "Ingest", "view"),
    ("/ui/desk", "Desk", "review"),
    ("/ui/feedback", "Feedback", "review"),
    ("/ui/dead-letters", "Dead letters", "review"),
    ("/ui/system", "System", "admin"),
)
"""Address, name, and the right that it needs."""
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Renderer:
    """Renders templates; safe to use from several threads."""

    def __init__(self, *, read_only: bool) -> None:
        """`read_only`: the process changes nothing, so no button is shown."""
        self.assets = Assets()
        environment = Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
            finalize=_finalized,
        )  # fmt: skip
        for name in ("moment", "ago", "span", "count", "rate", "score", "signed", "size", "weight"):
            environment.filters[name] = getattr(shown, name)
        environment.filters["json"] = shown.as_json
        environment.globals.update(asset=self.assets.url, counted=counted, read_only=read_only, nav=NAVIGATION, tasks=(), here="")
        environment.globals["ui"] = environment.get_template("_parts.html").module
        self._environment = environment

    def page(self, template: str, *, visitor: Visitor | None, now: datetime, code: int = 200, **values: Any) -> Response:  # noqa: ANN401 - what a template shows
        """Return a whole page."""
        told = self._environment.get_template(template).render(visitor=visitor, now=now, code=code, **values)
        return HTMLResponse(told, status_code=code, headers=dict(HEADERS))

    def fragment(self, template: str, **values: Any) -> Response:  # noqa: ANN401 - what a template shows
        """Return a piece that a page puts into itself once it is there."""
        return HTMLResponse(self._environment.get_template(template).render(**values), headers=dict(HEADERS))

    def part(self, template: str, block: str, *, visitor: Visitor | None, now: datetime, **values: Any) -> str:  # noqa: ANN401 - as above
        """Return one block of a page's template: what a live page receives is what it would have shown."""
        found = self._environment.get_template(template)
        context = found.new_context({"visitor": visitor, "now": now, **values})
        return "".join(found.blocks[block](context))


def _finalized(value: object) -> object:
    return shown.inert(value) if isinstance(value, str) and not isinstance(value, Markup) else "" if value is None else value
