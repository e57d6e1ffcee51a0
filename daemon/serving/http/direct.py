"""A route whose endpoint reads the request itself: FastAPI describes it, and solves nothing for each request."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute

EndpointT = TypeVar("EndpointT", bound=Callable[..., Coroutine[Any, Any, Response]])


class DirectRoute(APIRoute):
    """Calls `endpoint(**path_parameters, request=request)`, all of them text, and sends the response that it returns.

    Finding out again with each request which parameters an endpoint has cost a tenth of what is not the model's.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        endpoint = self.endpoint

        async def answer(request: Request) -> Response:
            response: Response = await endpoint(**request.path_params, request=request)
            return response

        return answer


def post(app: FastAPI, path: str, **described: Any) -> Callable[[EndpointT], EndpointT]:  # noqa: ANN401 - as `app.post` takes it
    """Return a decorator that adds an endpoint to `app`, as `app.post` does."""

    def add(endpoint: EndpointT) -> EndpointT:
        app.router.add_api_route(path, endpoint, methods=["POST"], route_class_override=DirectRoute, **described)
        return endpoint

    return add
