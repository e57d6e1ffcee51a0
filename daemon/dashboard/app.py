"""All pages and their addresses, added to the app of whoever carries them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from daemon.dashboard import routing
from daemon.dashboard.live import Live, Parts
from daemon.dashboard.pages import (
    acting,
    data,
    desk,
    flow,
    label_changes,
    labels,
    letters,
    listed,
    models,
    records,
    reports,
    tasks,
)
from daemon.dashboard.rendering import Renderer
from daemon.dashboard.routing import Look, Page
from daemon.dashboard.sources import Sources
from daemon.dashboard.visitor import Right, Visitor

T = TypeVar("T")
Run = Callable[[Callable[[], T]], Awaitable[T]]

PAGES: tuple[tuple[str, Right, Page], ...] = (
    ("/ui", "view", flow.page),
    ("/ui/tasks/{task}", "view", tasks.page),
    ("/ui/tasks/{task}/scores.json", "view", tasks.scores),
    ("/ui/tasks/{task}/labels.part", "view", tasks.labels),
    ("/ui/tasks/{task}/data", "review", data.page),
    ("/ui/tasks/{task}/data.html", "review", data.report),
    ("/ui/tasks/{task}/labels", "view", label_changes.page),
    ("/ui/runs", "view", models.runs),
    ("/ui/runs/{run}", "view", models.run),
    ("/ui/runs/{run}/curve.json", "view", models.curve),
    ("/ui/runs/{run}/report.html", "review", reports.page),
    ("/ui/runs/{run}/report.md", "review", reports.text),
    ("/ui/versions", "view", models.versions),
    ("/ui/versions/{task}/{number}", "view", models.version),
    ("/ui/history", "view", listed.history),
    ("/ui/ingest", "view", listed.ingest),
    ("/ui/desk", "review", desk.page),
    ("/ui/feedback", "review", records.feedback),
    ("/ui/label", "review", labels.page),
    ("/ui/dead-letters", "review", letters.listed),
    ("/ui/dead-letters/{number}", "review", letters.one),
    ("/ui/system", "admin", listed.installation),
    ("/ui/runbooks/{name}", "view", listed.runbook),
)
"""Address, the right that it needs, and the page; read with GET."""
WRITES: tuple[tuple[str, Right, Page], ...] = (
    ("/ui/tasks/{task}/train", "operate", acting.train),
    ("/ui/tasks/{task}/pause", "operate", acting.pause),
    ("/ui/tasks/{task}/resume", "operate", acting.resume),
    ("/ui/tasks/{task}/labels", "operate", label_changes.change),
    ("/ui/tasks/{task}/pin", "operate", acting.pin),
    ("/ui/tasks/{task}/unpin", "operate", acting.unpin),
    ("/ui/tasks/{task}/rollback", "operate", acting.roll_back),
    ("/ui/versions/{task}/{number}/promote", "operate", acting.promote),
    ("/ui/dead-letters/{number}/replay", "operate", letters.replay),
    ("/ui/dead-letters/{number}/mend", "operate", letters.mend),
    ("/ui/dead-letters/{number}/drop", "operate", letters.drop),
    ("/ui/desk/{task}/{lane}", "review", desk.answer),
    ("/ui/label/correct", "review", labels.correct),
)
"""Likewise, asked for with POST; each is an entry of the history.

Answers at the desk, corrected labels and changes of a task's labels are events. The history tells of corrected labels once they
are in force; changes have a page of their own.
"""


class Dashboard:
    """The page of one process. `close` releases what it has opened."""

    def __init__(self, sources: Sources, *, read_only: bool) -> None:
        """`read_only`: no address that changes anything exists."""
        self.sources = sources
        self.render = Renderer(read_only=read_only)
        self.live = Live()
        self._read_only = read_only

    def add_to(self, app: Starlette, run: Run[Response], watch: Run[Mapping[str, str]]) -> None:
        """Add every address; `run` and `watch` do blocking work off the event loop, for pages and for live parts."""
        for path, right, page in PAGES:
            app.router.add_route(path, self._answers(right, page, run), methods=["GET"], include_in_schema=False)
        for path, right, page in () if self._read_only else WRITES:
            app.router.add_route(path, self._answers(right, page, run), methods=["POST"], include_in_schema=False)
        self._add_live(app, "/ui/live", flow.parts, watch)
        self._add_live(app, "/ui/runs/{run}/live", models.parts, watch)
        app.router.add_route("/ui/static/{name:path}", self._static, methods=["GET"], include_in_schema=False)
        app.router.add_route("/", _start, methods=["GET"], include_in_schema=False)
        app.router.add_route("/ui/{rest:path}", self._unknown, methods=["GET", "POST"], include_in_schema=False)

    def refusal(self, status: int, message: str, remedy: str, visitor: Visitor | None = None) -> Response:
        """Return the page of a refusal."""
        return routing.refusal(self.render, status, message, remedy, visitor=visitor)

    def close(self) -> None:
        """End the live parts and release the handles."""
        self.live.stop()
        self.sources.close()

    def _answers(self, right: Right, page: Page, run: Run[Response]) -> Callable[[Request], Awaitable[Response]]:
        return routing.handler(page, sources=self.sources, render=self.render, right=right, run=run)

    def _add_live(
        self, app: Starlette, path: str, parts: Callable[[Look], dict[str, str]], watch: Run[Mapping[str, str]]
    ) -> None:
        async def live(request: Request) -> Response:
            visitor: Visitor = request.state.visitor
            if not visitor.may("view"):
                return self.refusal(403, f"{visitor.name} may not see this", "", visitor)
            look = Look(self.sources, self.render, visitor, request.path_params, request.query_params)
            changing: Parts = lambda: parts(look)  # noqa: E731 - typed
            return self.live.stream(changing, watch, once=bool(getattr(request.state, "head", False)))

        app.router.add_route(path, live, methods=["GET"], include_in_schema=False)

    async def _static(self, request: Request) -> Response:
        found = self.render.assets.response(request.path_params["name"])
        return found if found is not None else self.refusal(404, "there is no such file", "")

    async def _unknown(self, request: Request) -> Response:
        return self.refusal(404, f"there is no page {request.url.path[:80]!r}", "begin at Flow", request.state.visitor)


async def _start(_request: Request) -> Response:
    return routing.redirect("/ui")
