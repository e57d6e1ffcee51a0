"""From a request to a page: rights, threads, and what an error looks like."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import structlog
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from config.clock import utc_now
from config.errors import PerennialError, RetryError, UserError
from daemon.dashboard.rendering import HEADERS, Renderer
from daemon.dashboard.sources import Sources
from daemon.dashboard.visitor import Right, Visitor

log = structlog.get_logger(__name__)

Run = Callable[[Callable[[], Response]], Awaitable[Response]]
"""Runs blocking work off the event loop."""
_MOST_FIELDS = 1_050
"""As many labels as a text may have, and a few."""
NOT_OURS = "the form is not of this session; nothing was changed"


@dataclass(frozen=True, slots=True)
class Look:
    """One request for a page."""

    sources: Sources
    render: Renderer
    visitor: Visitor
    params: Mapping[str, str]
    query: QueryParams
    form: Mapping[str, str] = field(default_factory=dict)
    repeated: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """All values of each field of the form: a box that is ticked several times sends as many."""

    def page(self, template: str, *, code: int = 200, **values: Any) -> Response:  # noqa: ANN401 - what a template shows
        """Return a page for this visitor."""
        told = {"tasks": sorted(self.sources.tasks), **values}
        return self.render.page(template, visitor=self.visitor, now=self.sources.clock(), code=code, **told)

    def number(self, name: str, *, least: int = 1, most: int = 1_000_000, default: int = 1) -> int:
        """Return a whole number of the query, `default` where it is not one."""
        given = self.query.get(name, "")
        return min(max(int(given), least), most) if given.isascii() and given.isdigit() and len(given) < 10 else default  # noqa: PLR2004 - of any size that is meant


Page = Callable[[Look], Response]


def handler(
    page: Page, *, sources: Sources, render: Renderer, right: Right, run: Run
) -> Callable[[Request], Awaitable[Response]]:
    """Return what answers a route with `page`, for visitors who have `right`."""

    async def answer(request: Request) -> Response:
        visitor: Visitor = request.state.visitor
        form: Mapping[str, str] = {}
        repeated: Mapping[str, Sequence[str]] = {}
        if request.method == "POST":
            repeated = fields_of(await request.body())
            form = {name: values[-1] for name, values in repeated.items()}
            if not is_ours(form, visitor):
                return refusal(render, 403, NOT_OURS, "open the page again, then send it once more", visitor=visitor)
        look = Look(sources, render, visitor, request.path_params, request.query_params, form, repeated)
        return await run(lambda: _answer(page, look, right))

    return answer


def form_of(body: bytes) -> Mapping[str, str]:
    """Return the fields of a form; of one that comes twice the last, and none of a body that is no form."""
    return {name: values[-1] for name, values in fields_of(body).items()}


def fields_of(body: bytes) -> Mapping[str, Sequence[str]]:
    """Return all values of each field of a form; none of a body that is no form."""
    found: dict[str, list[str]] = {}
    try:
        for name, value in parse_qsl(body.decode("utf-8", "replace"), max_num_fields=_MOST_FIELDS):
            found.setdefault(name, []).append(value)
    except ValueError:
        return {}
    return found


def is_ours(form: Mapping[str, str], visitor: Visitor) -> bool:
    """Return whether a form carries what our own page put into it for this visitor, in constant time."""
    return bool(visitor.csrf) and hmac.compare_digest(form.get("csrf", "").encode("utf-8", "replace"), visitor.csrf.encode())


def _answer(page: Page, look: Look, right: Right) -> Response:
    if not look.visitor.may(right):
        return refusal(
            look.render, 403, f"{look.visitor.name} may not see this", f"it needs the right to {right} (docs/dashboard.md)",
            visitor=look.visitor,
        )  # fmt: skip
    try:
        return page(look)
    except UserError as error:
        return _refused(look, HTTPStatus.NOT_FOUND if not look.form else HTTPStatus.CONFLICT, error)
    except RetryError as error:
        return _refused(look, HTTPStatus.SERVICE_UNAVAILABLE, error)
    except PerennialError as error:
        return _refused(look, HTTPStatus.INTERNAL_SERVER_ERROR, error)
    except Exception:  # the edge of the page: whoever looks is told, the log has it all
        log.exception("dashboard.page_failed", page=getattr(page, "__name__", ""))
        remedy = "see the serving log; looking again is safe"
        return refusal(look.render, 500, "this page failed inside the server", remedy, visitor=look.visitor)


def code_of(problem: UserError | RetryError) -> int:
    """Return the status of a form that is shown again, with what was filled in."""
    return HTTPStatus.SERVICE_UNAVAILABLE if isinstance(problem, RetryError) else HTTPStatus.CONFLICT


def _refused(look: Look, status: HTTPStatus, error: PerennialError) -> Response:
    again = "look again in a moment" if status == HTTPStatus.SERVICE_UNAVAILABLE else ""
    return refusal(look.render, status, str(error), again, visitor=look.visitor)


def refusal(render: Renderer, status: int, message: str, remedy: str, *, visitor: Visitor | None) -> Response:
    """Return the page of a refusal."""
    return render.page("refusal.html", visitor=visitor, now=utc_now(), code=status, message=message, remedy=remedy)


def redirect(address: str) -> Response:
    """Send the browser on, so that a reload repeats nothing."""
    return RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER, headers=dict(HEADERS))
