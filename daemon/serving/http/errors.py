"""Every refusal has one shape: `{"error": {"code", "field", "message", "remedy"}}`; `refusals` lists the codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from config.errors import DeadLetterError
from daemon.serving.http.refusals import code_of

_DEFAULT_REMEDY = "send a value of that form; `perennial schema` prints the JSON Schema of every event"

_SHOWN_PATH = 200
_ADDRESSES = (
    "/v1/tasks, /v1/tasks/{task}/predict, /v1/tasks/{task}/champion, /v1/feedback, /v1/feedback/{event_id}, /v1/models, "
    "/v1/models/{version}/manifest, /v1/models/{version}/files/{path}, /v1/review, /v1/labels/correct, /healthz, "
    "/readyz, /metrics"
)

log = structlog.get_logger(__name__)


class ApiError(Exception):
    """A request that is answered with a refusal. `code` is one of `refusals.REFUSALS`; None: the first one of the status."""

    def __init__(
        self, status: int, message: str, remedy: str, *, field: str | None = None, headers: Mapping[str, str] | None = None,
        code: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status = status
        self.code = code or code_of(status)
        self.message = message
        self.remedy = remedy
        self.field = field
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """Return the refusal as JSON."""
        error = {"code": self.code, "field": self.field, "message": self.message, "remedy": self.remedy}
        return JSONResponse(
            {"error": {key: _encodable(text) for key, text in error.items()}}, status_code=self.status, headers=self.headers
        )


def of_dead_letter(error: DeadLetterError, *, status: int = 422) -> ApiError:
    """Return the refusal with the reason that ingest would record with a dead letter."""
    message, separator, remedy = error.reason.rpartition("; ")
    return ApiError(
        status, message if separator else error.reason, remedy if separator else _DEFAULT_REMEDY, field=error.field or "body"
    )


def of_malformed(error: DeadLetterError) -> ApiError:
    """Return the refusal of a body that could not be decoded: 400 when it is not a JSON object, 422 when one value is bad."""
    return of_dead_letter(error, status=422 if error.field else 400)


def unknown_task(task: str, tasks: Iterable[str]) -> ApiError:
    """Return the refusal of a task that has no task file here."""
    return ApiError(404, f"task: {task[:80]!r} is not defined here", f"the tasks are {', '.join(sorted(tasks))}", field="task")


def no_champion(task: str) -> ApiError:
    """Return the refusal for a task that has no model yet: no attempt in the next minutes will find one."""
    message = f"task {task!r} has no champion yet"
    remedy = (
        "import labelled rows for it (`perennial import`) or send labels; the first model that beats the baseline answers. "
        "`perennial status` says what it waits for"
    )
    return ApiError(409, message, remedy, field="task", code="no_champion")


def install(app: FastAPI) -> None:
    """Make every error of `app` leave in the one shape."""

    @app.exception_handler(ApiError)
    async def _refused(_request: Request, error: ApiError) -> Response:
        return error.response()

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        unknown = error.status_code == HTTPStatus.NOT_FOUND
        remedy = f"the addresses are {_ADDRESSES}" if unknown else "see /openapi.json for what each address takes"
        message = f"{request.method} {request.url.path}: {error.detail}"
        headers = error.headers
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            # The router names those of the first of the routes that share an address.
            headers = {**(headers or {}), "Allow": ", ".join(_methods(app, request))}
        return ApiError(error.status_code, message, remedy, field="path", headers=headers).response()

    @app.exception_handler(RequestValidationError)
    async def _wrong_parameter(_request: Request, error: RequestValidationError) -> Response:
        problem = error.errors()[0]
        name = str(problem["loc"][-1])
        return ApiError(422, f"{name}: {problem['msg']}", "see /openapi.json for what each address takes", field=name).response()

    @app.exception_handler(Exception)
    async def _failed(request: Request, error: Exception) -> Response:
        log.error("serving.request_failed", method=request.method, path=request.url.path[:_SHOWN_PATH], exc_info=error)
        # The server closes the connection after an unexpected error; a client that is told so does not send on it again.
        headers = {"Connection": "close"}
        remedy = "see the serving log; sending it again is safe"
        return ApiError(500, "the request failed inside the server", remedy, headers=headers).response()


def _methods(app: FastAPI, request: Request) -> list[str]:
    """Return the methods that the address of a request takes."""
    there = (route for route in app.routes if route.matches(request.scope)[0] is not Match.NONE)
    return sorted({method for route in there for method in getattr(route, "methods", None) or ()} - {"HEAD"})


def _encodable(text: str | None) -> str | None:
    # A lone surrogate from the client's JSON must not break the answer that complains of it.
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()
