"""The web page as serving carries it: who may look, sign-in, and where its figures of this very process come from."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from daemon.dashboard import routing
from daemon.dashboard.app import Dashboard
from daemon.dashboard.sources import Sources
from daemon.dashboard.visitor import Visitor
from daemon.serving.access.visitors import SIGN_IN, SIGN_OUT, Asked, Visitors, asked_of, is_page
from daemon.serving.http.errors import ApiError
from daemon.serving.http.lane import Lane
from daemon.serving.http.predicting import PREDICT
from daemon.serving.http.security import discard
from daemon.views.installation.serving_pace import Paces, Reading

if TYPE_CHECKING:
    from daemon.serving.service import Service

_UNAUTHORIZED = 401
_PAGES_WAITING, _LIVE_WAITING = 64, 128


def dashboard_of(service: Service) -> Dashboard:
    """Return the page over an open service. It opens nothing before somebody looks."""
    paces = Paces(lambda: Reading(time.monotonic(), service.metrics.answered_within(PREDICT)), lambda: _serving(service))
    return Dashboard(Sources(service.settings, tasks=lambda: service.tasks, pace=paces.look), read_only=False)


def add(app: FastAPI, dashboard: Dashboard, visitors: Visitors) -> None:
    """Add the pages and sign-in to an app whose `PageGuard` admits to them."""

    async def sign_in(request: Request) -> Response:
        visitor: Visitor = request.state.visitor
        form = routing.form_of(await request.body()) if request.method == "POST" else {}
        onward = _onward(form.get("next") or request.query_params.get("next", ""))
        problem, remedy, code = "", "", 200
        if visitors.open_to_all:
            return routing.redirect(onward)
        if request.method == "POST":
            if not routing.is_ours(form, visitor):
                return dashboard.refusal(403, routing.NOT_OURS, "open the page again")
            try:
                cookie = visitors.sign_in(request.state.asked, form.get("credential", ""))
            except ApiError as refusal:
                problem, remedy, code = refusal.message, refusal.remedy, refusal.status
            else:
                answer = routing.redirect(onward)
                answer.headers["Set-Cookie"] = cookie
                return answer
        return dashboard.render.page(
            "sign_in.html",
            visitor=visitor,
            now=dashboard.sources.clock(),
            code=code,
            problem=problem,
            remedy=remedy,
            onward=onward,
        )

    async def sign_out(request: Request) -> Response:
        if not routing.is_ours(routing.form_of(await request.body()), request.state.visitor):
            return dashboard.refusal(403, routing.NOT_OURS, "open the page again")
        answer = routing.redirect(SIGN_IN)
        answer.headers["Set-Cookie"] = visitors.sign_out(request.state.asked)
        return answer

    app.router.add_route(SIGN_IN, sign_in, methods=["GET", "POST"], include_in_schema=False)
    app.router.add_route(SIGN_OUT, sign_out, methods=["POST"], include_in_schema=False)
    pages, live = Lane(threads=2, waiting=_PAGES_WAITING), Lane(threads=1, waiting=_LIVE_WAITING)
    dashboard.add_to(app, pages.run, live.run)


class PageGuard:
    """Lets only admitted visitors through to pages and notes them in `request.state.visitor`; all else passes."""

    def __init__(self, app: ASGIApp, *, dashboard: Dashboard, visitors: Visitors, max_body_bytes: int) -> None:
        self._app = app
        self._dashboard = dashboard
        self._visitors = visitors
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, answer with the refusal as a page, or lead to where one signs in."""
        if scope["type"] == "http" and is_page(scope["path"]):
            asked = asked_of(scope)
            try:
                visitor = self._visitors.admit(asked)
            except ApiError as refusal:
                await discard(receive, self._max_body_bytes)
                await self._refused(asked, refusal, scope["query_string"])(scope, receive, send)
                return
            scope.setdefault("state", {}).update(visitor=visitor, asked=asked)
        await self._app(scope, receive, send)

    def _refused(self, asked: Asked, refusal: ApiError, query: bytes) -> Response:
        message, remedy = refusal.message, refusal.remedy
        if refusal.status == _UNAUTHORIZED and asked.method == "GET" and not asked.path.endswith(("/live", ".json", ".part")):
            return routing.redirect(SIGN_IN if asked.path in ("/", "/ui") else f"{SIGN_IN}?next={_next(asked.path, query)}")
        if refusal.status == _UNAUTHORIZED and asked.method == "POST":
            message = "You are not signed in any more; nothing was changed"
            remedy = "Sign in and send it again; going back shows what you typed"
        answer = self._dashboard.refusal(refusal.status, message, remedy)
        if "Retry-After" in refusal.headers:
            answer.headers["Retry-After"] = refusal.headers["Retry-After"]
        return answer


def _next(path: str, query: bytes) -> str:
    """Return the address that was asked for, as a value of a query."""
    address = quote(path) + (f"?{query.decode('latin-1')}" if query else "")
    return quote(address, safe="/")


def _onward(path: str) -> str:
    """Return where to go after sign-in: a page of ours, whatever was asked for."""
    # Where it leads is said by what stands before the query.
    plain = path.isascii() and path.isprintable() and not any(part in path.partition("?")[0] for part in ("\\", "//", ".."))
    return path if plain and path.startswith("/ui/") and not path.startswith(SIGN_IN) else "/ui"


def _serving(service: Service) -> tuple[Mapping[str, str], Mapping[str, str]]:
    found = [slot.status() for slot in service.slots.all()]
    serving = {one.task: one.serving for one in found if one.serving is not None}
    return serving, {one.task: one.failure for one in found if one.failure is not None}
