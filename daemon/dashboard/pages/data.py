"""What the buffer holds for a task: a page of tables, and the report as a file of its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from starlette.responses import Response

from daemon.dashboard.pages.reports import POLICY
from daemon.dashboard.pages.tasks import task_of
from daemon.dashboard.rendering import HEADERS
from daemon.dashboard.routing import Look

if TYPE_CHECKING:
    from daemon.views.data.report import DataReport


def page(look: Look) -> Response:
    """Return the page of a task's data."""
    from daemon.views.data.sections import sections  # noqa: PLC0415 - brings what reports are made of

    found = _read(look)
    return look.page("data.html", here=found.task, found=found, sections=sections(found))


def report(look: Look) -> Response:
    """Return the report as one HTML file, with charts; with `?save` as a file to keep."""
    from daemon.views.data.sections import html  # noqa: PLC0415 - see above

    found = _read(look)
    headers = {**HEADERS, "Content-Security-Policy": POLICY}
    if "save" in look.query:
        headers["Content-Disposition"] = f'attachment; filename="{found.task}-data.html"'
    return Response(html(found), media_type="text/html; charset=utf-8", headers=headers)


def _read(look: Look) -> DataReport:
    from daemon.views.data import report as views  # noqa: PLC0415 - loads numpy, which a page that nobody has opened needs not

    task, sources = task_of(look), look.sources
    # Without near copies, which take seconds: the command looks for them.
    read = partial(views.read, sources.reader.buffer, task, sources.settings, now=sources.clock(), near=False)
    return sources.kept(f"data/{task.name}", read)
